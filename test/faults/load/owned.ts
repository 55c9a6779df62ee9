import type { Json } from '../../support/rpc-client.ts';
import { NEW_THREAD, type Entry, type Fate, type Said, type Thread } from './expectation.ts';

/** A thread of an owner, while one daemon lives. */
export interface Owned {
  readonly id: string;
  readonly entry: Entry;
  isLoaded: boolean;
  /** The end of the turn that runs, or of the last one. */
  turnEnd: Promise<void>;
  /** The turn that runs, as far as its owner has heard. */
  runningTurn: string | undefined;
  /** Print of what each turn began with, by its id. */
  readonly turns: Map<string, string>;
}

export const asInput = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

/** @throws Error if it is deleted */
export function threadOf({ id, entry }: Owned): Thread {
  if (entry.certain === null) throw new Error(`${id} is not there`);
  return entry.certain;
}

export const withSaid = (fate: Fate, one: Said): Thread => {
  const before = fate ?? NEW_THREAD;
  return { ...before, said: [...before.said, one] };
};
