/**
 * Gives whoever asked its answer. Called when that is known, and waited for before everyone else is told: a client
 * hears the answer to its request before the notifications that follow from it (upstream-behaviour 8.6).
 */
export type Answer<T> = (result: T) => void | Promise<void>;

/** Nobody waits. */
export const noAnswer = (): void => {};
