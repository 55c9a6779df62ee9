import type { DebugThread } from '../../../src/protocol/debug.ts';
import { RpcClient, RpcRefusal, type Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Ledger } from '../load/ledger.ts';
import { isLostConnection, Owner } from '../load/owner.ts';
import { brokenLines, verify } from '../load/verify.ts';
import type { Stage } from '../scenario.ts';
import type { SwitchedDaemon, SwitchedDaemons } from '../switched-daemon.ts';
import { polling } from '../polling.ts';
import { DebugView } from './debug-view.ts';
import type { DiskWeather } from './faults.ts';
import type { Operation } from './operations.ts';

/** A walk goes on until nothing of the operation fails any more; none has so many steps. */
const MOST_STEPS = 100;

/** What clients hear that steer a moment late. */
const USUAL_REFUSALS = /no active turn to steer|expected active turn id/;

/** What came of something that was asked: refused with these, or not at all. */
type Refusals = readonly { readonly method: string; readonly body: Json }[];

/** A thing that was acknowledged and stands in no ledger. */
interface Deed {
  readonly operation: Operation;
  readonly threadId: string;
  readonly mark: string;
}

/** One home and its daemon, whose disk fails again and again and which is never started anew. */
export class FailingHome {
  readonly defects: string[] = [];
  readonly counts = { hits: 0, refused: 0, uncertain: 0, 'went on': 0, recovering: 0, reads: 0, steps: 0 };
  expected = 0;
  found = 0;
  readonly #stage: Stage;
  readonly #home: string;
  readonly #daemon: SwitchedDaemon;
  readonly #client: RpcClient;
  readonly #view: DebugView;
  readonly #ledger = new Ledger(true);
  readonly #bystander: Owner;
  #bystanderId = '';
  readonly #deeds: Deed[] = [];
  readonly #beyond = new Set<string>();
  /** Threads of which a fork may be there that its client could not be told of. */
  readonly #halfForked = new Set<string>();
  #refusals: { method: string; body: Json }[] = [];
  #marks = 0;
  #owners = 0;

  private constructor(stage: Stage, home: string, daemon: SwitchedDaemon, client: RpcClient, view: DebugView) {
    this.#stage = stage;
    this.#home = home;
    this.#daemon = daemon;
    this.#client = client;
    this.#view = view;
    this.#bystander = this.#owner({ name: 'bystander', historyMode: 'paginated' });
  }

  static async open(stage: Stage, daemons: SwitchedDaemons): Promise<FailingHome> {
    const home = tempFolder('skein-disk-', stage.whenDone);
    const daemon = await daemons.start(home);
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const view = await DebugView.connect(daemon.info.debugSocket ?? '');
    stage.whenDone(() => view.close());
    const opened = new FailingHome(stage, home, daemon, client, view);
    opened.#bystanderId = await opened.#bystander.start();
    await opened.#bystander.idle();
    return opened;
  }

  /** Lets the disk fail at the first call of an operation, at the second, and so on, until it comes through unharmed. */
  async walk(operation: Operation, weather: DiskWeather): Promise<void> {
    for (let step = 0; ; step += 1) {
      const place = `${operation.name}, ${weather.name} from call ${step + 1} on`;
      if (step > MOST_STEPS) throw new Error(`${operation.name} has not come to its end within ${MOST_STEPS} steps`);
      this.#stage.progress(place);
      try {
        if (!(await this.#step(operation, weather, step, place))) return;
      } catch (error) {
        const end = isLostConnection(error) ? `; the daemon said: ${this.#daemon.output().slice(-500)}` : '';
        throw new Error(`${place}: ${(error as Error).message}${end}`, { cause: error });
      }
    }
  }

  /** Ends the daemon, and holds what another one shows against all that was acknowledged. */
  async close(daemons: SwitchedDaemons): Promise<void> {
    await this.#daemon.stop('SIGKILL');
    const daemon = await daemons.start(this.#home);
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    for (const { operation, threadId, mark } of this.#deeds) await this.#assertDone(client, operation, threadId, mark);
    for (const id of this.#beyond) this.#ledger.entries.delete(id);
    const { defects, expected, found } = await verify(client, this.#ledger, this.#home);
    this.expected += expected;
    this.found += found;
    this.defects.push(...defects, ...(await this.#strangers(client)));
    const broken = brokenLines(this.#home);
    if (broken > 0) this.defects.push(`${broken} lines of rollouts are broken`);
    await client.close();
    await daemon.stop('SIGKILL');
  }

  /** @returns whether anything has failed */
  async #step(operation: Operation, weather: DiskWeather, step: number, place: string): Promise<boolean> {
    const { name: _, ...fault } = weather;
    this.#ledger.round += 1;
    const owner = this.#owner(operation);
    const prepared = await operation.prepare(this.#actor(owner, ''));
    await owner.idle();
    for (const { method, body } of this.#taken()) this.#defect(place, `${method} is refused before: ${body.message}`);
    const mark = this.#mark();
    await this.#daemon.inject({ ...fault, path: '', after: step });
    const refusals = await this.#attempt(owner, operation, prepared, mark);
    await this.#read(place);
    const { threads, stores } = await this.#view.snapshot();
    const failing = threads.filter(({ failure }) => failure !== null);
    this.counts.recovering += failing.length;
    this.defects.push(
      ...failing.filter((thread) => !isRecovering(thread)).map((thread) => notRecovering(place, thread)),
    );
    const hits = await this.#daemon.inject(null);
    this.counts.hits += hits;
    this.counts.steps += 1;
    const writers = (stores[0]?.['writers'] ?? []) as readonly Json[];
    for (const { threadId, queuedBytes, failure } of writers) {
      const isHealing = threads.some((thread) => thread.threadId === threadId && isRecovering(thread));
      if (queuedBytes > 0 && failure !== null && !isHealing)
        this.#defect(place, `${threadId} has not written ${queuedBytes} bytes, and does not recover: ${failure}`);
    }
    for (const { method, body } of refusals) {
      if (body.data?.errno !== fault.errno)
        this.#defect(place, `${method} is refused without ${fault.errno}: ${JSON.stringify(body)}`);
    }
    if (refusals.length > 0) {
      this.counts.refused += 1;
      const again = await this.#attempt(
        refusals.some(isUncertain) ? await this.#lookFirst(operation, prepared, place) : owner,
        operation,
        prepared,
        mark,
      );
      for (const { method, body } of again) this.#defect(place, `${method} stays refused: ${JSON.stringify(body)}`);
      if (again.length > 0) return hits > 0;
    } else if (hits > 0) this.counts['went on'] += 1;
    await this.#healed();
    if (operation.isBeyondLedger === true) this.#beyond.add(prepared);
    if (operation.count !== undefined) {
      this.#deeds.push({ operation, threadId: prepared, mark });
      await this.#assertDone(this.#client, operation, prepared, mark, place);
    }
    return hits > 0;
  }

  /** As clients do that were told that something may be done all the same. @returns an owner that goes on from there */
  async #lookFirst(operation: Operation, threadId: string, place: string): Promise<Owner> {
    this.counts.uncertain += 1;
    // What it has done is not in the ledger: it looks for itself.
    if (operation.isBeyondLedger === true) return this.#owner(operation, [threadId]);
    if (operation.name.startsWith('fork')) this.#halfForked.add(threadId);
    await this.#healed();
    // Of a thread that it had to begin nothing is known yet.
    if (threadId === '') return this.#owner(operation);
    const one = new Ledger(true);
    one.entries.set(threadId, this.#ledger.entry(threadId));
    const { defects } = await verify(this.#client, one, this.#home);
    this.#ledger.entries.set(threadId, one.entry(threadId));
    this.defects.push(...defects.map((defect) => `${place}: ${defect}`));
    return this.#owner(operation, [threadId]);
  }

  /** Does an operation. @returns what was refused of it, for other reasons than that it came late */
  async #attempt(owner: Owner, { act }: Operation, threadId: string, mark: string): Promise<Refusals> {
    try {
      await act(this.#actor(owner, mark), threadId);
    } catch (error) {
      if (!(error instanceof RpcRefusal)) throw error;
      this.#refusals.push({ method: error.message.split(':')[0] ?? '', body: error.body });
    }
    await owner.idle();
    return this.#taken();
  }

  #taken(): Refusals {
    const refusals = this.#refusals.filter(({ body }) => !USUAL_REFUSALS.test(body.message));
    this.#refusals = [];
    return refusals;
  }

  /** Looks at threads, as somebody does who has nothing to do with what fails. */
  async #read(place: string): Promise<void> {
    const asked = [
      ['thread/read', { threadId: this.#bystanderId, includeTurns: true }],
      ['thread/turns/list', { threadId: this.#bystanderId, limit: 10 }],
      ['thread/list', { limit: 10 }],
    ] as const;
    for (const [method, params] of asked) {
      const { error } = await this.#client.answer(method, params);
      if (error !== undefined) this.#defect(place, `${method} fails meanwhile: ${JSON.stringify(error)}`);
      this.counts.reads += 1;
    }
  }

  /** Waits until every thread has written what it has. */
  async #healed(): Promise<void> {
    await polling(async () => {
      const { threads } = await this.#view.snapshot();
      const ill = threads.filter((thread) => thread.failure !== null || isRecovering(thread));
      return ill.length === 0 ? undefined : `threads do not heal: ${JSON.stringify(ill)}`;
    });
  }

  async #assertDone(
    client: RpcClient,
    operation: Operation,
    threadId: string,
    mark: string,
    place = `${operation.name}, after a restart`,
  ): Promise<void> {
    this.expected += 1;
    const times = await operation.count?.(client, this.#home, threadId, mark);
    if (times === 1) this.found += 1;
    else this.#defect(place, `what was acknowledged is there ${times} times (${mark}, ${threadId})`);
  }

  /** Threads that nobody was told of. */
  async #strangers(client: RpcClient): Promise<readonly string[]> {
    const known = new Set([...this.#ledger.entries.keys(), ...this.#beyond]);
    const strangers: string[] = [];
    for (const archived of [false, true]) {
      let cursor: string | null = null;
      do {
        const page: Json = await client.call('thread/list', { archived, cursor, limit: 100 });
        for (const { id, forkedFromId } of page.data)
          if (!known.has(id) && !this.#halfForked.has(forkedFromId))
            strangers.push(`${id} is there, of which nobody was told; forked from ${forkedFromId}`);
        cursor = page.nextCursor;
      } while (cursor !== null);
    }
    return strangers;
  }

  #owner({ name, historyMode }: Pick<Operation, 'name' | 'historyMode'>, ids: readonly string[] = []): Owner {
    return new Owner({
      name: `${name.replaceAll(/\W+/g, '-')}${(this.#owners += 1)}`,
      client: this.#client,
      random: this.#stage.random.fork(),
      ledger: this.#ledger,
      ids,
      historyMode,
      steers: name.startsWith('turn') ? 1 : 0,
      onRefusal: (method, body) => void this.#refusals.push({ method, body }),
    });
  }

  #actor(owner: Owner, mark: string): { owner: Owner; client: RpcClient; mark: string } {
    return { owner, client: this.#client, mark };
  }

  #mark(): string {
    this.#marks += 1;
    return `mark-${this.#marks}`;
  }

  #defect(place: string, what: string): void {
    this.defects.push(`${place}: ${what}`);
  }
}

const isUncertain = ({ body }: Refusals[number]): boolean => body.data?.kind === 'uncertain';

const isRecovering = ({ persistence }: DebugThread): boolean =>
  persistence === 'recovering' || persistence === 'flushing';

const notRecovering = (place: string, { threadId, persistence, failure }: DebugThread): string =>
  `${place}: ${threadId} is ${persistence}, though ${JSON.stringify(failure)}`;
