import type { PromisedThread } from './promised-thread.ts';

/** Something that is done with a store, mostly with one of its threads. */
export type Step =
  | 'create'
  | 'append'
  | 'fork'
  | 'rename'
  | 'patch'
  | 'end'
  | 'resume'
  | 'tryWhileLive'
  | 'archive'
  | 'unarchive'
  | 'revert'
  | 'delete'
  | 'compress'
  | 'organize'
  | 'rewrite';

/** How often each is done where one is done after the other. */
export const WEIGHTS: Readonly<Record<Step, number>> = {
  create: 4,
  append: 8,
  fork: 3,
  rename: 2,
  patch: 2,
  end: 4,
  resume: 2,
  tryWhileLive: 0,
  archive: 2,
  unarchive: 2,
  revert: 2,
  delete: 2,
  compress: 2,
  organize: 2,
  rewrite: 0.3,
};

/** How often each is done where several are under way. */
export const OVERLAPPING: Readonly<Record<Step, number>> = {
  ...WEIGHTS,
  create: 3,
  append: 24,
  end: 3,
  resume: 4,
  tryWhileLive: 1,
  delete: 1,
  compress: 1,
};

/** How often each is done where, besides, names and marks are refused. */
export const NAMING: Readonly<Record<Step, number>> = {
  ...OVERLAPPING,
  append: 10,
  fork: 6,
  rename: 16,
  organize: 16,
};

/** True if a step can be begun with a thread, after all that was begun before. */
export function isPossible(step: Step, thread: PromisedThread): boolean {
  if (thread.isHeld || (thread.isFailing && step !== 'append' && step !== 'fork')) return false;
  const [isThere, isArchived] = [thread.isThere.now, thread.isArchived.now];
  switch (step) {
    case 'append':
      return thread.isLive || thread.isEnding;
    case 'end':
    case 'tryWhileLive':
      return thread.isLive;
    case 'fork':
    case 'rename':
    case 'patch':
      return thread.isLive || isThere;
    case 'resume':
    case 'archive':
      return isThere && !thread.isLive && !isArchived;
    case 'unarchive':
      return isThere && isArchived;
    case 'revert':
      return isThere && !thread.isLive && thread.mode === 'paginated' && thread.turnIds.length > 0;
    case 'compress':
      // Codex leaves alone what others work at.
      return isThere && !thread.isLive && thread.underWay === 0;
    default:
      return isThere && !thread.isLive;
  }
}
