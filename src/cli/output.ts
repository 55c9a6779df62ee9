import { CliError, EXIT, type ExitCode } from './exit-code.ts';
import { RpcFailure } from './rpc-failure.ts';

/** Answers go to standard output; everything else that is said goes to standard error. */
export const writeOut = (text: string): void => void process.stdout.write(text);

export const writeJson = (value: unknown): void => writeOut(`${JSON.stringify(value)}\n`);

export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Says something about work that takes time, where someone sits and waits. */
export function progress(text: string): void {
  if (process.stderr.isTTY) say(text);
}

/** Tells what went wrong, without a stack. @returns what to end with */
export function reportFailure(error: unknown, isJson: boolean): ExitCode {
  const exitCode = exitCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (isJson) writeJson({ error: { message, exitCode, ...(error instanceof RpcFailure ? error.body : {}) } });
  else say(`skein: ${message}`);
  return exitCode;
}

const EXIT_OF_KIND: Readonly<Record<string, ExitCode>> = {
  notFound: EXIT.notFound,
  invalidRequest: EXIT.usage,
  unsupported: EXIT.usage,
  conflict: EXIT.conflict,
};

/** Errors of ours and of the daemon say what kind they are; whatever else is thrown is a failure. */
function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  const kind = error instanceof RpcFailure ? error.kind : (error as { readonly code?: unknown } | null)?.code;
  return (typeof kind === 'string' ? EXIT_OF_KIND[kind] : undefined) ?? EXIT.failure;
}

/** Rows in columns; the last one is as wide as it is. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ');
  return `${all.map((row) => line(row).trimEnd()).join('\n')}\n`;
}

/** Text on one line, without what would move a terminal's cursor, cut to a width. */
export function oneLine(text: string, width: number): string {
  // oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
  return plain.length <= width ? plain : `${plain.slice(0, width - 1)}…`;
}

/** Text of others for a terminal: lines stay, control characters go. */
// oxlint-disable-next-line no-control-regex -- these are what must not reach a terminal
export const printable = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');

/** How long ago, roughly: `3 min`. */
export function ago(epochMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - epochMs) / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
