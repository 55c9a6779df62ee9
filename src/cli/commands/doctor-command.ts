import { lstat, statfs } from 'node:fs/promises';
import { daemonFiles, type DaemonInfo } from '../../domain/daemon-files.ts';
import { VERSION } from '../../version.ts';
import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { healthChecks, type HealthCheck } from '../health-checks.ts';
import { oneLine, progress, table, writeJson, writeOut } from '../output.ts';
import { withDebug } from '../with-debug.ts';

/** Wide enough for a path and a reason. */
const FINDING_WIDTH = 400;

/** Looks at everything that a daemon promises of itself, and says what does not hold. */
export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'look whether everything is well: files, disk, index, every thread; exit code 1 if not',
  details:
    'Changes nothing. Every rollout is held against what lists show: `missing` ones are in no list, `stale` ones are listed otherwise than they are, ' +
    'of `duplicate` ones one hides the other. While files are still being read they count as pending, and as nothing else.',
  arguments: [],
  options: {},
  run: async ({ flag, text }) => {
    const { snapshot, audit } = await withDebug(text('home'), async (debug) => {
      progress('looking at every thread ...');
      const found = await debug.call('audit', {});
      return { audit: found, snapshot: await debug.call('snapshot', {}) };
    });
    const { daemon } = snapshot;
    const checks = healthChecks({
      version: VERSION,
      snapshot,
      audit,
      exposed: await exposedFiles(daemon),
      freeBytes: await freeBytes(daemon.home),
      nowMs: Date.now(),
    });
    const isWell = checks.every(({ status }) => status !== 'problem');
    if (flag('json')) writeJson({ isWell, home: daemon.home, checks, audit });
    else writeOut(described(checks));
    return isWell ? EXIT.ok : EXIT.failure;
  },
};

/** What the daemon keeps for its owner, and others may open. */
async function exposedFiles({ home, socket, debugSocket }: DaemonInfo): Promise<readonly string[]> {
  const files = { ...daemonFiles(home), socket, debugSocket };
  const exposed: string[] = [];
  for (const path of Object.values(files)) {
    const stats = path === null ? undefined : await lstat(path).catch(() => undefined);
    const mode = (stats?.mode ?? 0) & 0o777;
    if ((mode & 0o077) !== 0) exposed.push(`${path} has mode ${mode.toString(8).padStart(4, '0')}`);
  }
  return exposed;
}

async function freeBytes(home: string): Promise<number> {
  const { bavail, bsize } = await statfs(home);
  return bavail * bsize;
}

function described(checks: readonly HealthCheck[]): string {
  const rows = checks.map(({ name, status, summary }) => [status, name, summary]);
  const details = checks
    .filter(({ findings, remedy }) => findings.length > 0 || remedy !== null)
    .map(({ name, findings, remedy }) =>
      [
        `\n${name}\n`,
        ...findings.map((finding) => `  ${oneLine(finding, FINDING_WIDTH)}\n`),
        ...(remedy === null ? [] : [`  what to do: ${remedy}\n`]),
      ].join(''),
    );
  return `${table(['STATUS', 'CHECK', ''], rows)}${details.join('')}`;
}
