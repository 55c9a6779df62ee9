import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join, relative } from 'node:path';
import type { Random } from '../random.ts';
import { foldersOf, type DataChange, type LogEntry, type NameChange } from './disk-log.ts';

/** What a loss of power has left of a home. */
export interface Image {
  readonly folders: readonly string[];
  /** By path below the home. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** The same for equal images. */
  readonly digest: string;
  /** In some file pages are missing before others that are there. */
  readonly hasHoles: boolean;
}

const PAGE = 4_096;

/** So many combinations at one moment are all tried; of more, the extremes and a few others. */
const ALL_OF = 24;

/** All that a loss of power right after the first `length` entries of a log may leave, or a sample of it. */
export function* imagesAfter(
  log: readonly LogEntry[],
  length: number,
  home: string,
  random: Random,
  samples: number,
): Generator<Image> {
  const moment = new Moment(log.slice(0, length), home);
  const { possibilities } = moment;
  const all = possibilities.reduce((product, count) => product * count, 1);
  if (all <= ALL_OF) {
    for (let number = 0; number < all; number += 1) {
      let left = number;
      yield moment.image((count) => {
        const chosen = left % count;
        left = Math.floor(left / count);
        return chosen;
      });
    }
    return;
  }
  yield moment.image(() => 0);
  yield moment.image(everything);
  yield moment.image((count, isName) => (isName ? count - 1 : 0));
  // All names, and NULs for content.
  yield moment.image((count, isName) => (isName || count === 1 ? count - 1 : count + 1 - HOLES.length));
  for (let sample = 0; sample < samples; sample += 1) yield moment.image((count) => random.below(count));
}

/** What a disk holds after the first `length` entries if nothing is lost. */
export const wholeImage = (log: readonly LogEntry[], length: number, home: string): Image =>
  new Moment(log.slice(0, length), home).image(everything);

const everything = (count: number, isName: boolean): number =>
  isName || count === 1 ? count - 1 : count - 1 - HOLES.length;

/** The state of a disk at one moment: what is certain, and what is not. */
class Moment {
  readonly #home: string;
  readonly #names: readonly { readonly at: number; readonly change: NameChange }[];
  /** Of each folder: up to which entry its changes are certain. */
  readonly #certain = new Map<string, number>();
  /** Of each folder: where its uncertain changes stand in the log. */
  readonly #uncertain = new Map<string, number[]>();
  /** Of each file: the content that is certain, and the changes that are not. */
  readonly #files = new Map<number, { readonly certain: Buffer; readonly uncertain: readonly DataChange[] }>();

  constructor(log: readonly LogEntry[], home: string) {
    this.#home = home;
    this.#names = log.flatMap((entry, at) => (isName(entry) ? [{ at, change: entry }] : []));
    // Of two that are under way the one that began first may end last.
    for (const entry of log) {
      if (entry.kind === 'syncFolder')
        this.#certain.set(entry.path, Math.max(this.#certainIn(entry.path), entry.covered - 1));
    }
    for (const { at, change } of this.#names.toReversed()) {
      const folders = foldersOf(change);
      // One transaction for both folders, and whatever was before it in either.
      if (folders.some((folder) => at <= this.#certainIn(folder))) {
        for (const folder of folders) this.#certain.set(folder, Math.max(this.#certainIn(folder), at));
      }
    }
    for (const { at, change } of this.#names) {
      for (const folder of foldersOf(change)) {
        if (at > this.#certainIn(folder)) this.#uncertain.set(folder, [...(this.#uncertain.get(folder) ?? []), at]);
      }
    }
    this.#readFiles(log);
  }

  /** Of each folder and file with something uncertain, in how many ways it can end. */
  get possibilities(): readonly number[] {
    return [
      ...[...this.#uncertain.values()].map((changes) => changes.length + 1),
      ...[...this.#files.values()].map(({ uncertain }) => endings(uncertain)),
    ];
  }

  image(choose: (possibilities: number, isName: boolean) => number): Image {
    const cuts = new Map<string, number>();
    for (const [folder, changes] of this.#uncertain) {
      const kept = Math.min(choose(changes.length + 1, true), changes.length);
      cuts.set(folder, kept === 0 ? this.#certainIn(folder) : (changes[kept - 1] ?? 0));
    }
    const [folders, names] = this.#applied(cuts);
    const contents = new Map<number, Buffer>();
    let hasHoles = false;
    for (const [file, { certain, uncertain }] of this.#files) {
      const ending = choose(endings(uncertain), false);
      hasHoles ||= ending > 2 * uncertain.length;
      contents.set(file, contentOf(certain, uncertain, ending));
    }
    const isThere = (path: string): boolean => path === this.#home || (folders.has(path) && isThere(dirname(path)));
    const files = new Map(
      [...names]
        .filter(([path]) => isThere(dirname(path)))
        .map(([path, file]) => [relative(this.#home, path), contents.get(file) ?? Buffer.alloc(0)] as const)
        .toSorted(([one], [other]) => (one < other ? -1 : 1)),
    );
    const kept = [...folders]
      .filter(isThere)
      .map((path) => relative(this.#home, path))
      .toSorted();
    return { folders: kept, files, digest: digestOf(kept, files), hasHoles };
  }

  #applied(cuts: ReadonlyMap<string, number>): [Set<string>, Map<string, number>] {
    const folders = new Set<string>();
    const names = new Map<string, number>();
    const ended = new Set<string>();
    for (const { at, change } of this.#names) {
      const touched = foldersOf(change);
      const isCertain = touched.every((folder) => at <= this.#certainIn(folder));
      const isKept = touched.every(
        (folder) => !ended.has(folder) && at <= (cuts.get(folder) ?? this.#certainIn(folder)),
      );
      if (isCertain || isKept) apply(change, folders, names);
      else for (const folder of touched) ended.add(folder);
    }
    return [folders, names];
  }

  #readFiles(log: readonly LogEntry[]): void {
    const synced = new Map<number, number>();
    for (const entry of log) {
      if (entry.kind === 'syncFile') synced.set(entry.file, Math.max(synced.get(entry.file) ?? 0, entry.covered));
    }
    for (const entry of log)
      if (entry.kind === 'create') this.#files.set(entry.file, { certain: Buffer.alloc(0), uncertain: [] });
    for (const [at, entry] of log.entries()) {
      if (entry.kind !== 'write' && entry.kind !== 'truncate') continue;
      const { certain, uncertain } = this.#files.get(entry.file) ?? { certain: Buffer.alloc(0), uncertain: [] };
      const isCertain = at < (synced.get(entry.file) ?? 0);
      this.#files.set(
        entry.file,
        isCertain ? { certain: changed(certain, entry), uncertain } : { certain, uncertain: [...uncertain, entry] },
      );
    }
  }

  #certainIn(folder: string): number {
    return this.#certain.get(folder) ?? -1;
  }
}

/** Which of the pages that have changed were never written, if the size is there. */
const HOLES: readonly ((page: number, isLast: boolean) => boolean)[] = [
  (_, isLast) => !isLast,
  () => true,
  (page) => page % 2 === 0,
  (page) => page % 2 === 1,
];

/** None, all, each number of changes in between, each of them torn; and those with pages that were never written. */
const endings = (uncertain: readonly DataChange[]): number =>
  uncertain.length === 0 ? 1 : 2 * uncertain.length + 1 + HOLES.length;

function contentOf(certain: Buffer, uncertain: readonly DataChange[], ending: number): Buffer {
  const all = (): Buffer => uncertain.reduce(changed, certain);
  if (ending === 2 * uncertain.length) return all();
  if (ending > 2 * uncertain.length) {
    const sizes = uncertain.map((change) => (change.kind === 'truncate' ? change.size : certain.length));
    return withHoles(all(), Math.min(certain.length, ...sizes), HOLES[ending - 2 * uncertain.length - 1] as never);
  }
  const whole = Math.floor(ending / 2);
  const kept = uncertain.slice(0, whole).reduce(changed, certain);
  const torn = uncertain[whole];
  if (ending % 2 === 0 || torn?.kind !== 'write') return kept;
  return changed(kept, { ...torn, bytes: torn.bytes.subarray(0, Math.floor(torn.bytes.length / 2)) });
}

/** Pages that were never written are NULs, from where they have changed. */
function withHoles(content: Buffer, from: number, isHole: (page: number, isLast: boolean) => boolean): Buffer {
  const holed = Buffer.from(content);
  const last = Math.floor((content.length - 1) / PAGE);
  for (let page = Math.floor(from / PAGE); page <= last; page += 1) {
    if (isHole(page, page === last))
      holed.fill(0, Math.max(from, page * PAGE), Math.min(content.length, (page + 1) * PAGE));
  }
  return holed;
}

function changed(content: Buffer, change: DataChange): Buffer {
  if (change.kind === 'truncate') {
    const cut = Buffer.alloc(change.size);
    content.copy(cut);
    return cut;
  }
  const grown = Buffer.alloc(Math.max(content.length, change.position + change.bytes.length));
  content.copy(grown);
  change.bytes.copy(grown, change.position);
  return grown;
}

function apply(change: NameChange, folders: Set<string>, names: Map<string, number>): void {
  switch (change.kind) {
    case 'create':
      names.set(change.path, change.file);
      break;
    case 'mkdir':
      folders.add(change.path);
      break;
    case 'unlink':
      names.delete(change.path);
      break;
    case 'link':
    case 'rename': {
      const file = names.get(change.path);
      if (file !== undefined) names.set(change.to, file);
      if (change.kind === 'rename') names.delete(change.path);
      break;
    }
  }
}

const isName = (entry: LogEntry): entry is NameChange =>
  ['create', 'mkdir', 'unlink', 'rename', 'link'].includes(entry.kind);

function digestOf(folders: readonly string[], files: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256').update(folders.join('\n'));
  for (const [path, content] of files) hash.update(`\n${path} ${content.length}\n`).update(content);
  return hash.digest('hex');
}

/** Puts an image into an empty folder. */
export function layOut({ folders, files }: Image, home: string): void {
  for (const folder of folders) mkdirSync(join(home, folder), { recursive: true });
  for (const [path, content] of files) writeFileSync(join(home, path), content);
}

/**
 * Makes one image another where it lies. Files that are in both stay the same files; those with other content are as
 * if they had been written to.
 */
export function turnInto(from: Image, { folders, files }: Image, home: string): void {
  for (const folder of folders) mkdirSync(join(home, folder), { recursive: true });
  for (const path of from.files.keys()) if (!files.has(path)) rmSync(join(home, path), { force: true });
  for (const [name, content] of files) {
    const path = join(home, name);
    const before = from.files.get(name);
    if (before?.equals(content) === true && existsSync(path)) continue;
    writeFileSync(path, content);
  }
  for (const folder of from.folders.toReversed()) {
    if (!folders.includes(folder) && !folder.startsWith('skein'))
      rmSync(join(home, folder), { recursive: true, force: true });
  }
}
