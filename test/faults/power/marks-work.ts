import { join } from 'node:path';
import { newThreadId } from '../../../src/domain/ids.ts';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import type { Random } from '../random.ts';
import { Promised } from './promises.ts';
import { MARKS, type RefusingDisk } from './refusing-disk.ts';

/** Random work on marks of threads, and what was promised of each. */
export class MarksWork {
  readonly promised = new Map<string, Promised<string | null>>();
  readonly #home: string;
  readonly #disk: RefusingDisk;
  readonly #random: Random;
  /** Those that are being set. */
  readonly #underWay = new Set<string>();
  #file!: OrganizationFile;

  constructor(home: string, disk: RefusingDisk, random: Random) {
    this.#home = home;
    this.#disk = disk;
    this.#random = random;
  }

  /** Goes on from what another process has left. */
  async goOn(): Promise<void> {
    this.#underWay.clear();
    this.#file = await OrganizationFile.open(join(this.#home, MARKS));
    const values = new Map([...this.#file.entries].map(({ key, value }) => [key, value as string]));
    for (const [key, mark] of this.promised) mark.isFound(values.get(key) ?? null, this.#disk.moment);
  }

  /** One of some threads, mostly. */
  newKey(threadIds: readonly string[]): string {
    const key = threadIds.length > 0 && this.#random.chance(0.8) ? this.#random.pick(threadIds) : newThreadId();
    // While marks are refused, what becomes of each is known before it is set again.
    return this.#disk.failing === MARKS && this.#underWay.has(key) ? newThreadId() : key;
  }

  /** Sets a mark, or takes it away. @returns true if it is done */
  async set(key: string, newValue: () => string): Promise<boolean> {
    const promised = this.promised.get(key) ?? new Promised<string | null>(null);
    this.promised.set(key, promised);
    this.#underWay.add(key);
    const value = this.#random.chance(0.2) ? null : newValue();
    const durability = this.#random.pick(['power', 'process'] as const);
    // All that was set before stands before it in the file.
    const before = [...this.promised.values()]
      .filter((mark) => mark !== promised)
      .map((mark) => [mark, mark.last] as const);
    const outcome = await this.#disk.tryTo(
      [promised, value],
      MARKS,
      () => this.#file.write([{ kind: 'read', key, value } as never], durability),
      durability === 'power',
    );
    this.#underWay.delete(key);
    if (outcome !== 'done') return false;
    if (durability === 'power') for (const [mark, version] of before) mark.settle(this.#disk.moment, version);
    return true;
  }
}
