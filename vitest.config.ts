import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Builds once what tests start as a process of its own: the daemon, the index thread.
    globalSetup: ['test/support/build.ts'],
    setupFiles: ['test/support/leaves-nothing.ts', 'test/support/messages-fit.ts'],
    pool: 'forks',
    // Most of the time tests wait for processes of their own: one at a time would leave the machine idle.
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
