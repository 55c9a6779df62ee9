import { PROVIDER } from '../../support/codex.ts';
import { startDaemon, type RunningDaemon } from '../../support/daemon.ts';
import { start } from '../../support/process.ts';
import { takeMisfits } from '../../support/misfits.ts';
import { RpcClient, RpcRefusal } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { Random } from '../random.ts';
import type { Stage } from '../scenario.ts';
import { codexReads } from './codex-reads.ts';
import { ownAudit } from './index-audit.ts';
import { Ledger } from './ledger.ts';
import { Owner } from './owner.ts';
import { tearTails } from './torn-tails.ts';
import { brokenLines, verify } from './verify.ts';

const OWNERS = 4;

/** A home serves so many rounds: the more threads it has, the longer each look at all of them takes. */
const ROUNDS_PER_HOME = 10;

/** Codex resumes threads of providers that it knows. */
const SETTINGS = ['--set', `model.provider=${PROVIDER}`];

/** What clients hear that are a moment late, or ask for what legacy threads have not. */
const USUAL_REFUSALS =
  /no active turn to steer|expected active turn id|only supports paginated threads|still references it|read state changed/;

export interface KillRounds {
  readonly kills: number;
  /** Figures by name; `expected` and `found` count facts. */
  readonly sums: ReadonlyMap<string, number>;
  readonly defects: readonly string[];
}

/** Homes whose daemons are killed again and again while clients work on them. */
export class KilledHomes {
  readonly #stage: Stage;
  readonly #main: string;
  readonly #sums = new Map<string, number>();
  readonly #defects: string[] = [];
  #kills = 0;

  /** @param main the command of the daemon */
  constructor(stage: Stage, main: string) {
    this.#stage = stage;
    this.#main = main;
  }

  /** @param stopAtDefect no further kill when something is wrong */
  async play(kills: number, stopAtDefect = false): Promise<KillRounds> {
    for (let from = 0; from < kills; from += ROUNDS_PER_HOME) {
      await this.#home(from, Math.min(kills, from + ROUNDS_PER_HOME), stopAtDefect);
      if (stopAtDefect && this.#defects.length > 0) break;
    }
    return { kills: this.#kills, sums: this.#sums, defects: this.#defects };
  }

  async #home(from: number, to: number, stopAtDefect: boolean): Promise<void> {
    const { random, whenDone, progress } = this.#stage;
    const ledger = new Ledger(from % (2 * ROUNDS_PER_HOME) === 0);
    const home = tempFolder('skein-faults-', whenDone);
    for (let round = from; round < to; round += 1) {
      ledger.round = round;
      progress(`kill ${round + 1} of ${to}, ${ledger.entries.size} threads`);
      if (random.chance(0.15)) await this.#killAtStart(home);
      else await this.#killAtWork(home, ledger);
      this.#kills += 1;
      this.#add('torn tails', tearTails(home, random));
      if (stopAtDefect && this.#defects.length > 0) return;
    }
    const daemon = await this.#start(home);
    await this.#look(daemon, ledger, home);
    await daemon.stop('SIGKILL');
    const { whole, inPart, defects } = await codexReads(home, ledger, this.#stage);
    this.#add('read by Codex', whole);
    this.#add('in part', inPart);
    this.#add('broken lines', brokenLines(home));
    this.#defects.push(...defects);
    for (const [kind, times] of Object.entries(ledger.acknowledged)) this.#add(kind, times);
    for (const [what, trail] of ledger.refusals) {
      if (!USUAL_REFUSALS.test(what)) this.#defects.push(`refused: ${what}; ${trail}`);
    }
  }

  /** A life of a daemon that ends before it serves, or just then. */
  async #killAtStart(home: string): Promise<void> {
    const { random, whenDone } = this.#stage;
    const daemon = start(process.execPath, [this.#main, 'run', '--home', home, ...SETTINGS], {}, whenDone);
    setTimeout(() => daemon.child.kill('SIGKILL'), random.below(600));
    await daemon.exited;
  }

  /** A life of a daemon: from its start to its kill, which comes with a random message to one of its clients. */
  async #killAtWork(home: string, ledger: Ledger): Promise<void> {
    const { random } = this.#stage;
    const daemon = await this.#start(home);
    await this.#look(daemon, ledger, home);
    const clients = await Promise.all(Array.from({ length: OWNERS }, () => connect(daemon)));
    const watcher = await connect(daemon);
    const known = [...ledger.entries.keys()];
    const shares = shared(known, OWNERS, random);
    const owners = clients.map(
      (client, at) => new Owner({ name: `owner${at}`, client, random: random.fork(), ledger, ids: shares[at] ?? [] }),
    );
    let left = random.below(random.chance(0.3) ? 40 : 800);
    for (const client of [...clients, watcher]) {
      client.socket.on('message', (data: Buffer) => {
        // Long answers should not make the lives of daemons short.
        left -= data.includes('"method":"item/agentMessage/delta"') ? 0.02 : 1;
        if (left < 0) daemon.child.kill('SIGKILL');
      });
    }
    if (known.length > 0) void watcher.answer('thread/resume', { threadId: random.pick(known) }).catch(() => {});
    const work = owners.map((owner) =>
      owner.work().catch((error: unknown) => {
        // A daemon that refuses what it must not has shown what it is; its life ends with that.
        if (!(error instanceof RpcRefusal)) throw error;
        this.#defects.push(`round ${ledger.round}: an owner cannot go on: ${error.message}`);
        daemon.child.kill('SIGKILL');
      }),
    );
    await Promise.all(work);
    await daemon.exited;
  }

  async #look(daemon: RunningDaemon, ledger: Ledger, home: string): Promise<void> {
    const client = await connect(daemon);
    const { defects, ...counts } = await verify(client, ledger, home);
    for (const [what, times] of Object.entries(counts)) this.#add(what, times);
    this.#defects.push(...defects, ...(await ownAudit(daemon.info)), ...takeMisfits());
    await client.close();
  }

  #start(home: string): Promise<RunningDaemon> {
    return startDaemon(home, SETTINGS, this.#stage.whenDone, { main: this.#main });
  }

  #add(what: string, times: number): void {
    this.#sums.set(what, (this.#sums.get(what) ?? 0) + times);
  }
}

const connect = (daemon: RunningDaemon): Promise<RpcClient> => RpcClient.connect(`unix://${daemon.info.socket}`);

/** Deals threads out: a few to each, so that each is worked on a lot. */
function shared(ids: readonly string[], parts: number, random: Random): readonly (readonly string[])[] {
  const shares: string[][] = Array.from({ length: parts }, () => []);
  const shuffled = ids.map((id) => ({ id, place: random.next() })).toSorted((one, other) => one.place - other.place);
  for (const [at, { id }] of shuffled.slice(0, parts * 4).entries()) shares[at % parts]?.push(id);
  return shares;
}
