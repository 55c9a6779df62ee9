import { once } from 'node:events';
import { startDaemon, type RunningDaemon } from '../../support/daemon.ts';
import { start } from '../../support/process.ts';
import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { Thread } from '../load/expectation.ts';
import { Ledger } from '../load/ledger.ts';
import { Owner } from '../load/owner.ts';
import { verify } from '../load/verify.ts';
import type { Figures, Scenario, Stage } from '../scenario.ts';
import type { DiskFault } from '../preload/disk-fault.ts';
import { SwitchedDaemons } from '../switched-daemon.ts';

const OWNERS = 3;

/** Bounds that a daemon that cannot write soon comes to. */
const SETTINGS = ['--set', 'limits.drainSeconds=20', '--set', 'limits.shutdownSeconds=2'];

/** The daemon goes down; clients may come back. */
const GOING_AWAY = 1001;

const WAYS = [
  'SIGTERM',
  'SIGTERM twice',
  'SIGTERM while the disk fails',
  'SIGTERM while the disk hangs',
  'SIGTERM while it starts',
  'restart',
] as const;

/** What the disk does meanwhile. */
const DISKS: Partial<Record<(typeof WAYS)[number], DiskFault['kind']>> = {
  'SIGTERM while the disk fails': 'error',
  'SIGTERM while the disk hangs': 'hang',
};

/** A daemon that could not save or close everything says so, and its exit code is 1. */
const SAID = /could not be saved|was cut off/;

/** Ends daemons in every orderly way while clients work, and looks what is left. */
export const shutdown: Scenario = {
  name: 'shutdown',
  about:
    'SIGTERM under load, once and twice, while the disk fails or hangs and while it starts; skein restart under load',
  run: async (stage) => {
    const ends = new Ends(stage);
    for (let round = 0; round < (stage.runs ?? WAYS.length); round += 1) {
      const way = WAYS[round % WAYS.length] ?? 'SIGTERM';
      stage.progress(way);
      await ends.play(way, round);
    }
    await ends.finish();
    return ends.figures;
  },
};

/** One home that daemons begin and end on. */
class Ends {
  readonly #stage: Stage;
  readonly #home: string;
  readonly #switched: SwitchedDaemons;
  readonly #ledger = new Ledger(false);
  readonly #defects: string[] = [];
  readonly #details: Record<string, number> = {};
  #ends = 0;
  #expected = 0;
  #found = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#home = tempFolder('skein-ends-', stage.whenDone);
    this.#switched = new SwitchedDaemons(stage.whenDone);
  }

  get figures(): Figures {
    const [acknowledged, found] = [this.#expected, this.#found];
    const details = { ...this.#details, ...this.#ledger.acknowledged };
    return { injected: 'orderly ends', times: this.#ends, acknowledged, found, details, defects: this.#defects };
  }

  async play(way: (typeof WAYS)[number], round: number): Promise<void> {
    this.#ledger.round = round;
    this.#ends += 1;
    if (way === 'SIGTERM while it starts') return this.#endAtStart();
    const daemon = await this.#switched.start(this.#home, SETTINGS);
    await this.#look(daemon, way);
    const { random } = this.#stage;
    const clients = await Promise.all(Array.from({ length: OWNERS }, () => connect(daemon)));
    const ids = [...this.#ledger.entries.keys()];
    const owners = clients.map((client, at) => {
      const own = ids.filter((_, index) => index % OWNERS === at).slice(0, 4);
      return new Owner({ name: `owner${at}`, client, random: random.fork(), ledger: this.#ledger, ids: own });
    });
    const codes = clients.map(async ({ socket }) => Number((await once(socket, 'close'))[0]));
    const works = owners.map((owner) => owner.work());
    let left = 30 + random.below(150);
    await new Promise<void>((resolve) => {
      for (const { socket } of clients) socket.on('message', () => (left -= 1) < 0 && resolve());
    });
    if (way === 'restart') return this.#restart(daemon, works);
    const kind = DISKS[way];
    if (kind !== undefined) {
      const calls = ['write', 'writev'];
      await daemon.inject({ kind, calls, path: 'rollout-', after: random.below(10), errno: 'EIO' });
    }
    const from = performance.now();
    daemon.child.kill('SIGTERM');
    // Turns that wait for a disk that hangs do not end by themselves.
    if (way === 'SIGTERM twice' || kind === 'hang') {
      await Promise.race([daemon.said(/waiting for \d+ running turn/).catch(() => {}), daemon.exited]);
      daemon.child.kill('SIGTERM');
    }
    const code = await daemon.exited;
    this.#details[`${way}: ms`] = Math.round(performance.now() - from);
    const mayEnd = kind !== undefined && SAID.test(daemon.output()) ? 1 : 0;
    if (code !== mayEnd) this.#defect(way, `the daemon ends with ${code}: ${daemon.output()}`);
    await Promise.all(works);
    if (kind !== undefined) this.#forgetUnsaved(clients);
    for (const closed of await Promise.all(codes)) {
      if (closed !== GOING_AWAY) this.#defect(way, `a client was closed with ${closed}`);
    }
  }

  /** Of threads that clients were told cannot be saved, answers were in memory only: no promise is made about those. */
  #forgetUnsaved(clients: readonly RpcClient[]): void {
    for (const { method, params } of clients.flatMap(({ notifications }) => notifications)) {
      const entry = method === 'warning' ? this.#ledger.entries.get(params.threadId) : undefined;
      if (!String(params.message).startsWith('Saving this thread failed') || !entry?.certain) continue;
      entry.certain = withoutAnswers(entry.certain);
      if (entry.pending) entry.pending = withoutAnswers(entry.pending);
      this.#details['threads not saved, as told'] = (this.#details['threads not saved, as told'] ?? 0) + 1;
    }
  }

  /** What is left of all that was acknowledged, at the end. */
  async finish(): Promise<void> {
    const daemon = await startDaemon(this.#home, SETTINGS, this.#stage.whenDone);
    await this.#look(daemon, 'at the end');
    if ((await daemon.stop()) !== 0) this.#defect('at the end', 'the daemon ends badly');
  }

  /** A signal at any moment of a start: it ends, and nothing of it keeps the next one from starting. */
  async #endAtStart(): Promise<void> {
    const { main, random, whenDone } = this.#stage;
    for (let times = 0; times < 3; times += 1) {
      const env = { ...process.env, HOME: this.#home };
      const daemon = start(process.execPath, [main, 'run', '--home', this.#home], { env }, whenDone);
      setTimeout(() => daemon.child.kill('SIGTERM'), random.below(700));
      const code = await daemon.exited;
      // Before it listens to signals there is nothing that it would have to give back.
      if (code !== 0 && code !== 'SIGTERM') this.#defect('while it starts', `it ends with ${code}: ${daemon.output()}`);
    }
  }

  /** Clients lose their daemon, find the next one where it was, and go on with their threads. */
  async #restart(daemon: RunningDaemon, works: readonly Promise<void>[]): Promise<void> {
    const { main, random, whenDone } = this.#stage;
    const env = { ...process.env, HOME: this.#home };
    const skein = (command: string): Promise<number | NodeJS.Signals | null> =>
      start(process.execPath, [main, command, '--home', this.#home], { env }, whenDone).exited;
    whenDone(async () => void (await skein('stop')));
    const code = await skein('restart');
    if (code !== 0) this.#defect('restart', `ends with ${code}`);
    if ((await daemon.exited) !== 0) this.#defect('restart', `the old daemon ends badly: ${daemon.output()}`);
    await Promise.all(works);
    await this.#look(daemon, 'restart');
    const client = await connect(daemon);
    const ids = [...this.#ledger.entries.keys()].slice(0, 4);
    const owner = new Owner({ name: 'back', client, random: random.fork(), ledger: this.#ledger, ids });
    for (const id of ids) await owner.perform('turn', id);
    await client.close();
    if ((await skein('stop')) !== 0) this.#defect('restart', 'the new daemon does not stop');
  }

  async #look(daemon: RunningDaemon, way: string): Promise<void> {
    const client = await connect(daemon);
    const { expected, found, defects } = await verify(client, this.#ledger, this.#home);
    this.#expected += expected;
    this.#found += found;
    for (const defect of defects) this.#defect(way, defect);
    await client.close();
  }

  #defect(way: string, what: string): void {
    this.#defects.push(`${way}: ${what}`);
  }
}

const withoutAnswers = (thread: Thread): Thread => ({
  ...thread,
  said: thread.said.map((one) => ({ ...one, isAnswered: false })),
});

const connect = ({ info }: RunningDaemon): Promise<RpcClient> => RpcClient.connect(`unix://${info.socket}`);
