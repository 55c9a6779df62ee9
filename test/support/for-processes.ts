/** What tests run in processes of their own, which read no TypeScript. */
export { localTimeOf, epochMsOfLocalTime } from '../../src/domain/rollout-file-name.ts';
export { tryLock } from '../../src/store/local/flock.ts';
export { HomeLayout } from '../../src/store/local/home-layout.ts';
export { openIndexInline, openIndexThread } from '../../src/store/local/index/index-thread.ts';
export { NameIndex } from '../../src/store/local/name-index.ts';
export { readRollout } from '../../src/store/local/rollout-reader.ts';
export { WriterLocks } from '../../src/store/local/writer-locks.ts';
