import { constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, internal, toSkeinError, uncertain } from '../../domain/errors.ts';
import { arrayMember, isJsonObject, stringMember } from '../../domain/json.ts';
import type { OrganizationChange, OrganizationKind } from '../../domain/organization.ts';
import { Mutex } from '../mutex.ts';
import type { OrganizationStore, WriteDurability } from '../organization-store.ts';
import { appendFully, cutOff, FILE_MODE, posix, syncDirectory } from './files.ts';
import { writeWhole } from './whole-file.ts';

const NEWLINE = 0x0a;

const REFUSAL = 'what is set for threads could not be stored';

/** Bytes that are out of date before the file is written anew, beside as many as are in use. */
const SLACK_BYTES = 256 * 1_024;

/** Bytes of one line of a file that is written anew. */
const BATCH_BYTES = 1_024 * 1_024;

const ADD = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;

/**
 * `skein_threads.jsonl` in the home: one line a write, `{"set":[{"kind","key","value"}…]}`, added at the end; the last
 * value of a kind and key counts, null removes it. A torn last line is a write that nobody was told of, and goes with the next one. When more of the file
 * is out of date than in use, it is written anew beside and takes the old one's place. The daemon of the home is its
 * only writer; if somebody else cuts or removes it, the next write puts back all that is set.
 */
export class OrganizationFile implements OrganizationStore {
  readonly #path: string;
  readonly #mutex = new Mutex();
  readonly #values: Map<string, OrganizationChange>;
  /** Bytes of the file as this process left it. */
  #size: number;
  /** What a file with nothing out of date would have, about. */
  #usedBytes: number;
  /** It is certain that the file is found after a loss of power. Who made it may not have seen to that. */
  #isEntryDurable = false;
  /** It may hold something else than what is set: a line that was not finished, or what a disk that fails has made of it. */
  #isDoubtful: boolean;

  private constructor(path: string, content: Buffer) {
    this.#path = path;
    this.#values = valuesIn(content);
    this.#size = content.length;
    this.#isDoubtful = content.length > 0 && content.at(-1) !== NEWLINE;
    this.#usedBytes = [...this.#values.values()].reduce((sum, value) => sum + bytesOf(value), 0);
  }

  /** @throws internal if the file is there and cannot be read */
  static async open(path: string): Promise<OrganizationFile> {
    try {
      return new OrganizationFile(path, await readFile(path));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return new OrganizationFile(path, Buffer.alloc(0));
      throw internal(`${path} cannot be read`, error);
    }
  }

  get entries(): Iterable<OrganizationChange> {
    return this.#values.values();
  }

  write(changes: readonly OrganizationChange[], durability: WriteDurability): Promise<void> {
    return this.#mutex.run(async () => {
      if (changes.length === 0) return;
      try {
        await this.#add(lineOf(changes), durability);
      } catch (error) {
        throw toSkeinError(error, REFUSAL);
      }
      for (const change of changes) this.#note(change);
      // Whether that works or not, what was asked for is done.
      if (this.#size > 2 * this.#usedBytes + SLACK_BYTES) await this.#replace().catch(() => {});
    });
  }

  close(): Promise<void> {
    return this.#mutex.run(async () => {});
  }

  async #add(line: Buffer, durability: WriteDurability): Promise<void> {
    const fd = await this.#open();
    try {
      await this.#append(fd, line, durability);
    } catch (error) {
      await posix.close(fd).catch(() => {});
      throw error;
    }
    await posix.close(fd).catch((error: unknown) => {
      // Some file systems say only now that they have not kept what was written. What is synced is kept.
      if (durability === 'power') return;
      this.#isDoubtful = true;
      throw uncertain(toSkeinError(error, REFUSAL));
    });
  }

  /** The file, with what is set and nothing else. */
  async #open(): Promise<number> {
    const fd = await posix.open(this.#path, ADD, FILE_MODE);
    try {
      if (!this.#isDoubtful && (await posix.fstat(fd)).size === this.#size) return fd;
    } catch (error) {
      await posix.close(fd).catch(() => {});
      throw error;
    }
    await posix.close(fd).catch(() => {});
    await this.#replace();
    return posix.open(this.#path, ADD, FILE_MODE);
  }

  async #append(fd: number, line: Buffer, durability: WriteDurability): Promise<void> {
    try {
      await appendFully(fd, line);
      if (this.#size === 0) this.#isEntryDurable = false;
      if (durability === 'power') await this.#sync(fd);
    } catch (error) {
      await cutOff(fd, this.#size).catch(() => {
        this.#isDoubtful = true;
        throw uncertain(toSkeinError(error, REFUSAL));
      });
      throw error;
    }
    this.#size += line.length;
  }

  async #sync(fd: number): Promise<void> {
    // What the kernel drops then may be more than this write.
    this.#isDoubtful = true;
    await posix.fdatasync(fd);
    this.#isDoubtful = false;
    if (!this.#isEntryDurable) await syncDirectory(dirname(this.#path));
    this.#isEntryDurable = true;
  }

  /** Writes a file with what is set now, and nothing else. */
  async #replace(): Promise<void> {
    this.#size = await writeWhole(this.#path, linesOf(this.#values.values()));
    this.#isDoubtful = false;
  }

  #note(change: OrganizationChange): void {
    const name = nameOf(change);
    const before = this.#values.get(name);
    if (before !== undefined) this.#usedBytes -= bytesOf(before);
    this.#values.delete(name);
    if (change.value === null) return;
    this.#values.set(name, change);
    this.#usedBytes += bytesOf(change);
  }
}

const nameOf = ({ kind, key }: OrganizationChange): string => `${kind} ${key}`;

const lineOf = (set: readonly OrganizationChange[]): Buffer => Buffer.from(`${JSON.stringify({ set })}\n`);

const bytesOf = (change: OrganizationChange): number => Buffer.byteLength(JSON.stringify(change)) + 1;

function* linesOf(changes: Iterable<OrganizationChange>): Generator<Buffer> {
  let batch: OrganizationChange[] = [];
  let bytes = 0;
  for (const change of changes) {
    batch.push(change);
    bytes += bytesOf(change);
    if (bytes < BATCH_BYTES) continue;
    yield lineOf(batch);
    [batch, bytes] = [[], 0];
  }
  if (batch.length > 0) yield lineOf(batch);
}

/** What counts of a file. Lines that are none cost themselves only; kinds of later versions are kept. */
function valuesIn(content: Buffer): Map<string, OrganizationChange> {
  const values = new Map<string, OrganizationChange>();
  for (let start = 0; start < content.length;) {
    const newline = content.indexOf(NEWLINE, start);
    if (newline < 0) break;
    for (const change of changesIn(content.subarray(start, newline))) {
      values.delete(nameOf(change));
      if (change.value !== null) values.set(nameOf(change), change);
    }
    start = newline + 1;
  }
  return values;
}

function changesIn(line: Buffer): readonly OrganizationChange[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line.toString('utf8'));
  } catch {
    return [];
  }
  if (!isJsonObject(parsed)) return [];
  return arrayMember(parsed, 'set').flatMap((element) => {
    if (!isJsonObject(element)) return [];
    const [kind, key] = [stringMember(element, 'kind'), stringMember(element, 'key')];
    if (kind === undefined || key === undefined) return [];
    return [{ kind: kind as OrganizationKind, key, value: element['value'] ?? null }];
  });
}
