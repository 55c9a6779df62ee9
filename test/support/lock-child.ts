import { COMPILED } from './compiled.ts';
import { start, type Running } from './process.ts';

/** Another process of this product's code, which lives until its input says more or it is stopped. */
export async function otherProcess(code: string, args: readonly string[]): Promise<Running> {
  const script = `
    const { openSync, closeSync } = await import('node:fs');
    const { tryLock, WriterLocks, NameIndex } = await import(${JSON.stringify(COMPILED)});
    const args = process.argv.slice(1);
    setInterval(() => {}, 1e9);
    ${code}
    console.log('ready');`;
  const running = start(process.execPath, ['--input-type=module', '-e', script, ...args]);
  await running.said(/ready\n/);
  return running;
}

/** Holds flock on a file, unsigned, as Codex does. */
export const holdFlock = (path: string, kind: 'shared' | 'exclusive' = 'exclusive'): Promise<Running> =>
  otherProcess(`const fd = openSync(args[0], 'a+'); if (!tryLock(fd, args[1])) throw new Error('not free');`, [
    path,
    kind,
  ]);

/** Holds a thread's writer lock as another daemon would. */
export const holdWriterLock = (folder: string, threadId: string): Promise<Running> =>
  otherProcess(`await new WriterLocks(args[0]).acquire(args[1]);`, [folder, threadId]);
