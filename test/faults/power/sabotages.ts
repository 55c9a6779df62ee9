import { RolloutWriter } from '../../../src/store/local/rollout-writer.ts';
import type { Swallowed } from './disk-log.ts';

/** What is wrong, on purpose, with a store while a history is played. */
export interface Sabotage {
  readonly swallowed?: Swallowed;
  /** Breaks what all stores of this process do. @returns what mends it */
  readonly spoil?: () => () => void;
}

/** Files that are renamed when they are whole. */
const UNFINISHED = /\.(new|plain)$/;

/** Ways in which a store could break its promises, by what it then is; each has to show. */
export const SABOTAGES: ReadonlyMap<string, Sabotage> = new Map([
  ['without fdatasync', { swallowed: (call) => call === 'fdatasync' }],
  ['without syncs of folders', { swallowed: (call) => call === 'fsync' }],
  ['with names before content', { swallowed: (_, path) => UNFINISHED.test(path) }],
  ['without syncs of what is cut off', { swallowed: (_call, _path, isOfCut) => isOfCut }],
  ['with syncs that began before the write', { spoil: shareSyncs }],
] satisfies [string, Sabotage][]);

/** Appends that come while others are under way take the sync of those for theirs: it may have begun before they are written. */
function shareSyncs(): () => void {
  const writers = RolloutWriter.prototype;
  const appending = Object.getOwnPropertyDescriptor(writers, 'append') as PropertyDescriptor;
  const append = appending.value as (
    this: RolloutWriter,
    ...args: Parameters<RolloutWriter['append']>
  ) => Promise<void>;
  const syncs = new WeakMap<RolloutWriter, Promise<void>>();
  writers.append = function (this: RolloutWriter, records, durability, onFailure): Promise<void> {
    const sync = this.isBusy ? syncs.get(this) : undefined;
    if (durability === 'power' && sync !== undefined)
      return Promise.all([append.call(this, records, 'process', onFailure), sync]).then(() => {});
    const done = append.call(this, records, durability, onFailure);
    if (durability === 'power') syncs.set(this, done);
    return done;
  };
  return () => {
    Object.defineProperty(writers, 'append', appending);
  };
}
