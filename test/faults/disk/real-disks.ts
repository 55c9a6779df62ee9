import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../../src/domain/errors.ts';
import { SKEIN, startDaemon } from '../../support/daemon.ts';
import { start, type Running } from '../../support/process.ts';
import { RpcClient, type Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Ledger } from '../load/ledger.ts';
import { Owner } from '../load/owner.ts';
import { brokenLines, verify } from '../load/verify.ts';
import { assertCommand, NotHere, reasonOf } from '../not-here.ts';
import type { Stage } from '../scenario.ts';
import { assertTraceable } from '../system-calls.ts';
import { polling } from '../polling.ts';

/** What a system can do to the disk of a daemon, for SQLite and native code as well. */
interface RealFault {
  readonly name: string;
  /** What the system may say then. */
  readonly errnos: readonly string[];
  /** Put before the command of a daemon; `HOME_FOLDER` stands for its home. */
  readonly wrapper: readonly string[];
  /** @param home the home as this process sees it. @returns what ends it */
  readonly begin: (daemon: Running, home: string, stage: Stage) => Promise<() => void | Promise<void>>;
}

/** Room for a database, two rollouts and a few turns. */
const TMPFS_BYTES = 2 * 1024 * 1024;

const ON_TMPFS = [
  'unshare',
  '-m',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${TMPFS_BYTES},mode=700 tmpfs HOME_FOLDER && exec "$@"`,
  'sh',
] as const;

const inside = ({ child }: Running, ...command: readonly string[]): void => {
  execFileSync('nsenter', ['-m', '-t', String(child.pid), ...command], { stdio: 'pipe' });
};

/**
 * A folder of the home becomes a mount that cannot be written. What is open for writing stays so, as with a mount that
 * the system makes read-only after errors; a remount would be refused for that.
 */
function readOnly(folder: string, errnos: readonly string[]): RealFault {
  return {
    name: `read-only ${folder === '' ? 'home' : folder}`,
    errnos,
    wrapper: ['unshare', '-m'],
    begin: async (daemon, home) => {
      const path = join(home.replace(/^\/proc\/\d+\/root/, ''), folder);
      mkdirSync(path, { recursive: true });
      inside(daemon, 'mount', '--bind', path, path);
      inside(daemon, 'mount', '-o', 'remount,bind,ro', path);
      return () => inside(daemon, 'umount', '-l', path);
    },
  };
}

export const REAL_FAULTS: readonly RealFault[] = [
  {
    name: 'full tmpfs',
    errnos: ['ENOSPC'],
    wrapper: ON_TMPFS,
    begin: async (_, home) => {
      const filler = join(home, 'filler');
      try {
        for (;;) appendFileSync(filler, Buffer.alloc(4_096));
      } catch (error) {
        if (errnoOf(error) !== 'ENOSPC') throw error;
      }
      return () => rmSync(filler);
    },
  },
  ...(
    [
      ['', ['EROFS']],
      ['skein', ['EROFS']],
      // A file is not moved from one mount to another.
      ['sessions', ['EROFS', 'EXDEV']],
      ['archived_sessions', ['EROFS', 'EXDEV']],
    ] as const
  ).map(([folder, errnos]) => readOnly(folder, errnos)),
  {
    name: 'files that may not grow',
    errnos: ['EFBIG'],
    wrapper: [],
    begin: async ({ child }) => {
      execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=1:unlimited']);
      return () => void execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:unlimited']);
    },
  },
  {
    name: 'fdatasync fails in the kernel',
    errnos: ['EIO'],
    wrapper: [],
    begin: async ({ child }, _, stage) => {
      assertTraceable();
      const filter = ['-e', 'trace=fdatasync,fsync', '-e', 'inject=fdatasync,fsync:error=EIO'];
      const strace = start('strace', ['-f', '-p', String(child.pid), ...filter], {}, stage.whenDone);
      await strace.said(/attached/);
      return async () => void (await strace.stop('SIGINT'));
    },
  },
];

export interface RealOutcome {
  readonly refused: number;
  readonly expected: number;
  readonly found: number;
  readonly defects: readonly string[];
}

/** Lets a client work while the system refuses, and after that, and looks what is there. @throws NotHere */
export async function withRealFault(fault: RealFault, stage: Stage): Promise<RealOutcome> {
  const home = tempFolder('skein-real-', stage.whenDone);
  const daemon = await startUnder(fault, home, stage);
  const seen = fault.wrapper.length === 0 ? home : `/proc/${daemon.child.pid}/root${home}`;
  const client = await RpcClient.connect(`unix://${join(seen, 'skein/daemon.sock')}`);
  const ledger = new Ledger(true);
  const defects: string[] = [];
  let refusals: Json[] = [];
  const { random } = stage;
  const owner = new Owner({
    name: 'owner',
    client,
    random,
    ledger,
    historyMode: 'paginated',
    steers: 0,
    onRefusal: (method, body) => void refusals.push({ method, ...body }),
  });
  const threads = [await owner.start(), await owner.start()] as const;
  await owner.idle();
  const work = async (): Promise<readonly Json[]> => {
    refusals = [];
    for (const habit of ['turn', 'rename', 'fork'] as const) await owner.perform(habit, threads[0]);
    await owner.perform('archive', threads[1]);
    await owner.idle();
    return refusals;
  };
  const end = await begin(fault, daemon, seen, stage);
  const refused = await work();
  for (const body of refused)
    if (!fault.errnos.includes(body.data?.errno))
      defects.push(`${fault.name}: refused without ${fault.errnos.join(' or ')}: ${JSON.stringify(body)}`);
  for (const method of ['thread/read', 'thread/list', 'thread/turns/list']) {
    const params = method === 'thread/list' ? {} : { threadId: threads[0] };
    const { error } = await client.answer(method, params);
    if (error !== undefined) defects.push(`${fault.name}: ${method} fails meanwhile: ${JSON.stringify(error)}`);
  }
  await end();
  // What is not written yet is tried again by itself, and by whoever asks for it.
  const again = await work();
  for (const body of again) defects.push(`${fault.name}: stays refused: ${JSON.stringify(body)}`);
  await unloaded(client, threads[0]);
  const copy = tempFolder('skein-real-', stage.whenDone);
  cpSync(seen, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  await client.close();
  await daemon.stop('SIGKILL');
  const next = await startDaemon(copy, [], stage.whenDone);
  const reader = await RpcClient.connect(`unix://${next.info.socket}`);
  const findings = await verify(reader, ledger, copy);
  defects.push(...findings.defects.map((defect) => `${fault.name}: ${defect}`));
  if (brokenLines(copy) > 0) defects.push(`${fault.name}: lines of rollouts are broken`);
  await reader.close();
  await next.stop('SIGKILL');
  return { refused: refused.length, expected: findings.expected, found: findings.found, defects };
}

/** All that a thread has is written when it can be unloaded, which archiving does. */
async function unloaded(client: RpcClient, threadId: string): Promise<void> {
  await polling(async () => {
    const { error } = await client.answer('thread/archive', { threadId });
    return error === undefined ? undefined : `${threadId} cannot be put away: ${JSON.stringify(error)}`;
  });
  await client.call('thread/unarchive', { threadId });
}

async function startUnder({ name, wrapper }: RealFault, home: string, { whenDone }: Stage): Promise<Running> {
  const words = wrapper.map((word) => word.replaceAll('HOME_FOLDER', home));
  if (words[0] !== undefined) assertCommand(words[0]);
  const [command, ...args] = [...words, process.execPath, SKEIN, 'run', '--json', '--home', home];
  const daemon = start(command, args, { env: { ...process.env, HOME: home } }, whenDone);
  try {
    await daemon.said(/^\{.*\}\n/m);
    return daemon;
  } catch (error) {
    throw new NotHere(`${name} (${reasonOf(error)})`, { cause: error });
  }
}

async function begin(
  fault: RealFault,
  daemon: Running,
  home: string,
  stage: Stage,
): Promise<() => void | Promise<void>> {
  try {
    return await fault.begin(daemon, home, stage);
  } catch (error) {
    await daemon.stop('SIGKILL');
    throw new NotHere(`${fault.name} (${reasonOf(error)})`, { cause: error });
  }
}
