import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon, type RunningDaemon } from '../support/daemon.ts';
import type { WhenDone } from '../support/process.ts';
import { tempFolder } from '../support/temp-home.ts';
import type { DiskFault } from './preload/disk-fault.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A real daemon whose calls to the disk can be made to fail, to hang, or to kill it. */
export interface SwitchedDaemon extends RunningDaemon {
  /** From now on; null: no more. Resolves when the daemon knows. @returns how many calls the one before has hit */
  readonly inject: (fault: DiskFault | null) => Promise<number>;
}

/** Starts daemons with the switch in them, which is compiled once. */
export class SwitchedDaemons {
  readonly #whenDone: WhenDone;
  readonly #preload: string;

  constructor(whenDone: WhenDone) {
    this.#whenDone = whenDone;
    const folder = tempFolder('skein-switch-', whenDone);
    const options = ['--noEmit', 'false', '--outDir', folder, '--rootDir', 'test/faults/preload', '--noCheck'];
    const source = 'test/faults/preload/disk-switch.ts';
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const settings = [
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--rewriteRelativeImportExtensions',
      '--skipLibCheck',
    ];
    execFileSync(
      process.execPath,
      [join(ROOT, 'node_modules/typescript/bin/tsc'), '--ignoreConfig', source, ...options, ...settings],
      { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
    );
    this.#preload = join(folder, 'disk-switch.js');
  }

  async start(home: string, args: readonly string[] = [], first: DiskFault | null = null): Promise<SwitchedDaemon> {
    const control = join(tempFolder('skein-switch-', this.#whenDone), 'fault.json');
    let serial = 0;
    const set = (fault: DiskFault | null): void => {
      serial += 1;
      writeFileSync(control, JSON.stringify({ serial, fault }));
    };
    set(first);
    execFileSync('mkfifo', [`${control}.pipe`]);
    const daemon = await startDaemon(home, args, this.#whenDone, {
      execArgv: ['--import', this.#preload],
      env: { SKEIN_FAULTS: control },
    });
    return {
      ...daemon,
      inject: async (fault) => {
        set(fault);
        daemon.child.kill('SIGUSR2');
        const [, hits] = await daemon.said(new RegExp(`\\[fault ${serial}\\] (\\d+)`));
        return Number(hits);
      },
    };
  }
}
