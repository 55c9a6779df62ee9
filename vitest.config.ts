import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Builds once what tests start as a process of its own: the daemon, the index thread.
    globalSetup: ['test/support/build.ts'],
    setupFiles: ['test/support/leaves-nothing.ts', 'test/support/messages-fit.ts'],
    pool: 'forks',
    // Some of the time tests wait for processes of their own: as many as processors would leave the machine idle.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
