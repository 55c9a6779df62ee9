import { libc } from '../store/local/libc.ts';

const exit = libc.func('void _exit(int status)') as (status: number) => void;

/**
 * Ends the process, whatever it waits for. `process.exit` would wait for calls to the disk that are under way, so for ever for
 * one that does not come back. What was written to standard output and standard error is there: both are written at once.
 */
export function exitAtOnce(code: number): void {
  exit(code);
}
