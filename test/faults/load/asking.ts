import { RpcRefusal, type Json, type RpcClient } from '../../support/rpc-client.ts';
import type { Random } from '../random.ts';
import type { Fate } from './expectation.ts';
import type { Ledger } from './ledger.ts';
import type { Owned } from './owned.ts';

export interface AskingOptions {
  readonly name: string;
  readonly client: RpcClient;
  readonly random: Random;
  readonly ledger: Ledger;
  /** Hears each refusal, as it came. */
  readonly onRefusal?: (method: string, body: Json) => void;
}

/** How an owner asks for things, one after the other, and writes down what it was told. */
export class Asking {
  readonly name: string;
  readonly client: RpcClient;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly #onRefusal: AskingOptions['onRefusal'];
  #count = 0;
  #isUncertain = false;

  constructor({ name, client, random, ledger, onRefusal }: AskingOptions) {
    this.name = name;
    this.client = client;
    this.random = random;
    this.ledger = ledger;
    this.#onRefusal = onRefusal;
  }

  /** The last refusal leaves open whether it is done. */
  get isUncertain(): boolean {
    return this.#isUncertain;
  }

  /** Asks for a change. While it is under way the thread may be either. @returns undefined if it was refused */
  async ask(owned: Owned, next: Fate, kind: string, method: string, params: object = {}): Promise<Json> {
    owned.entry.pending = next;
    const answer = await this.tell(owned, method, params);
    if (answer !== undefined) {
      owned.entry.certain = withNews(next, owned.entry.certain);
      this.ledger.count(kind);
    }
    if (!this.#isUncertain) owned.entry.pending = undefined;
    return answer;
  }

  /** Asks for what changes nothing in the ledger. @returns undefined if it was refused */
  async tell(owned: Owned, method: string, params: object = {}): Promise<Json> {
    const { trail } = owned.entry;
    this.#isUncertain = false;
    try {
      trail.push(method);
      const answer = await this.client.call(method, { threadId: owned.id, ...params });
      trail.push('done');
      return answer;
    } catch (error) {
      if (!(error instanceof RpcRefusal)) throw error;
      trail.push(error.message);
      this.#isUncertain = error.body.data?.kind === 'uncertain';
      this.#onRefusal?.(method, error.body);
      this.ledger.refuse(method, error.body.message, owned.entry);
      return undefined;
    }
  }

  /** Words that nobody says twice; now and then so many that their answer takes a while. */
  words(verb = 'says'): string {
    const length = this.random.chance(0.2) ? this.random.below(3_000) : this.random.below(10);
    return [`${this.name} ${verb} ${this.next()}`, ...Array.from({ length }, () => 'and')].join(' ');
  }

  /** A mark that nothing else has, in one word. */
  next(): string {
    this.#count += 1;
    return `${this.ledger.round}.${this.name}.${this.#count}`;
  }
}

/** What was noted of what was said while something else was under way is true of what came of that, too. */
function withNews(next: Fate, before: Fate): Fate {
  if (next === null || before === null) return next;
  const known = new Map(before.said.map((one) => [one.text, one]));
  return { ...next, said: next.said.map((one) => known.get(one.text) ?? one) };
}
