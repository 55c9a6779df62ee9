import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { WhenDone } from './process.ts';

/** A new, empty folder that goes when the test ends. */
export function tempFolder(prefix = 'skein-', whenDone: WhenDone = onTestFinished): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  whenDone(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
