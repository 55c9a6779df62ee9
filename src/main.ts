#!/usr/bin/env node
import { runCli } from './cli/cli.ts';

/** The `skein` command. The daemon's own code is loaded only where the daemon is run. */
process.exitCode = await runCli(process.argv.slice(2), {
  runDaemon: async (options) => (await import('./daemon/run-command.ts')).runCommand(options),
});
