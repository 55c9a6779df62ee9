import type { Json } from '../../support/rpc-client.ts';
import type { Asking } from './asking.ts';
import type { Said } from './expectation.ts';
import { commandIn } from './found-thread.ts';
import { asInput, threadOf, withSaid, type Owned } from './owned.ts';
import { commandOf, echoOf, itemOf, printOf } from './texts.ts';

/** Output of a command is shorter than what models are told of it. */
const MOST_COUNTED = 1_500;

/** What an owner says to a thread, runs in it, and puts into it. */
export class TurnHabits {
  readonly #asking: Asking;
  readonly #steers: number;

  /** @param steers how often a turn is steered */
  constructor(asking: Asking, steers: number) {
    this.#asking = asking;
    this.#steers = steers;
  }

  async turn(owned: Owned): Promise<void> {
    const { client, random } = this.#asking;
    const texts = [this.#asking.words()];
    const from = client.frames.length;
    const answer = await this.say(owned, texts[0] ?? '', 'words', 'turn/start');
    if (answer === undefined) return;
    const { id } = answer.turn;
    this.#begun(owned, id, texts[0] ?? '');
    if (random.chance(this.#steers)) {
      const more = this.#asking.words();
      const steered = await this.say(owned, more, 'steers', 'turn/steer', { expectedTurnId: id });
      if (steered !== undefined) texts.push(more);
    }
    await this.#mayWait(owned, this.ended(owned, id, texts, from));
  }

  /** Words that begin a turn or join one. @returns undefined if they were refused */
  async say(owned: Owned, text: string, kind: string, method: string, params: object = {}): Promise<Json> {
    const said: Said = { kind: 'words', text: printOf(text), isAnswered: false };
    const asked = { input: asInput(text), ...params };
    const answer = await this.#asking.ask(owned, withSaid(owned.entry.certain, said), kind, method, asked);
    if (answer === undefined) owned.entry.mayAnswerTwice = true;
    return answer;
  }

  /** Puts an item into what the model reads, now and then while a turn runs. */
  async inject(owned: Owned): Promise<void> {
    const text = this.#asking.words('puts in');
    const item: Said = { kind: 'item', text: printOf(text), isAnswered: false };
    owned.entry.hasMoreThanWords = true;
    const next = withSaid(threadOf(owned), item);
    await this.#asking.ask(owned, next, 'items', 'thread/inject_items', { items: [itemOf(text)] });
  }

  /** Runs a command: in the turn that runs, or in one of its own. */
  async command(owned: Owned): Promise<void> {
    const { client, random } = this.#asking;
    const command = commandOf(this.#asking.next(), random.below(MOST_COUNTED));
    const from = client.frames.length;
    const said: Said = { kind: 'command', text: command, isAnswered: false, turnId: owned.runningTurn };
    owned.entry.hasMoreThanWords = true;
    const next = withSaid(threadOf(owned), said);
    const answer = await this.#asking.ask(owned, next, 'commands', 'thread/shellCommand', { command });
    if (answer === undefined) return;
    const isIt = ({ item }: Json): boolean => item.type === 'commandExecution' && commandIn(item) === command;
    const { turnId } = (await client.notification('item/started', isIt, from)).params;
    note(owned, command, { turnId });
    this.#begun(owned, turnId, command);
    await this.#mayWait(owned, this.ended(owned, turnId, [], from));
  }

  /**
   * Waits for the end of a turn, and notes what has its answer: all its words if it came to its end, and whatever was told
   * to be complete even if the daemon is gone before.
   * @param texts words that were said in it
   * @param from frames from there on are of it
   */
  async ended(owned: Owned, turnId: string, texts: readonly string[], from: number): Promise<void> {
    const { client, ledger } = this.#asking;
    try {
      const { params } = await client.notification('turn/completed', ({ turn }) => turn.id === turnId, from);
      if (owned.runningTurn === turnId) owned.runningTurn = undefined;
      if (params.turn.status !== 'completed') return;
      for (const text of texts) note(owned, printOf(text), { isAnswered: true });
      ledger.count('turns');
    } finally {
      for (const { method, params } of client.frames.slice(from))
        if (method === 'item/completed' && params.turnId === turnId) noteComplete(owned, params.item, texts);
    }
  }

  #begun(owned: Owned, turnId: string, text: string): void {
    owned.runningTurn = turnId;
    if (!owned.turns.has(turnId)) owned.turns.set(turnId, printOf(text));
  }

  async #mayWait(owned: Owned, turnEnd: Promise<void>): Promise<void> {
    owned.turnEnd = turnEnd;
    // Who does not wait learns of a lost connection by the next thing it does.
    turnEnd.catch(() => {});
    if (this.#asking.random.chance(0.85)) await turnEnd;
  }
}

/** What is told to be complete is written: it survives the end of the daemon. */
function noteComplete(owned: Owned, item: Json, texts: readonly string[]): void {
  const answered =
    item.type === 'agentMessage'
      ? texts.find((text) => item.text === echoOf(text))
      : item.type === 'commandExecution' && item.exitCode === 0
        ? commandIn(item)
        : undefined;
  if (answered !== undefined) note(owned, printOf(answered), { isAnswered: true });
}

function note({ entry }: Owned, text: string, news: Partial<Said>): void {
  const { certain } = entry;
  const at = certain?.said.findIndex((one) => one.text === text) ?? -1;
  const one = certain?.said[at];
  if (certain === null || one === undefined) return;
  entry.certain = { ...certain, said: certain.said.with(at, { ...one, ...news }) };
}
