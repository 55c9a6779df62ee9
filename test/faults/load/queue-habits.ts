import type { Json } from '../../support/rpc-client.ts';
import type { Asking } from './asking.ts';
import { ofKind, type Said } from './expectation.ts';
import { foundIn } from './found-thread.ts';
import { asInput, threadOf, type Owned } from './owned.ts';
import { printOf } from './texts.ts';
import type { TurnHabits } from './turn-habits.ts';

/** So many words take long enough to be interrupted. */
const LONG = 3_000;

/** What an owner does with words that wait for a thread. */
export class QueueHabits {
  readonly #asking: Asking;
  readonly #turns: TurnHabits;

  constructor(asking: Asking, turns: TurnHabits) {
    this.#asking = asking;
    this.#turns = turns;
  }

  /** Queues words, and waits until they are said. */
  async queue(owned: Owned): Promise<void> {
    for (let more = this.#asking.random.below(3); more >= 0; more -= 1) await this.#enqueue(owned);
    await this.drained(owned);
  }

  /** Interrupts a turn, which pauses the queue, and queues words that wait then. */
  async pause(owned: Owned): Promise<void> {
    for (let isPaused = false; !isPaused;) {
      const text = `${this.#asking.words()}${' and'.repeat(LONG)}`;
      const from = this.#asking.client.frames.length;
      const answer = await this.#turns.say(owned, text, 'words', 'turn/start');
      if (answer === undefined) return;
      const turnId = answer.turn.id as string;
      // It may have come to its end by itself.
      isPaused = (await this.#asking.tell(owned, 'turn/interrupt', { turnId })) !== undefined;
      await this.#turns.ended(owned, turnId, [text], from);
    }
    for (let count = 0; count < 3; count += 1) await this.#enqueue(owned);
  }

  async reword(owned: Owned): Promise<void> {
    const text = this.#asking.words();
    const params = { queuedSubmissionId: (await this.#waiting(owned))[1], input: asInput(text) };
    await this.#change(owned, threadOf(owned).queued.with(1, printOf(text)), 'update', params);
  }

  async withdraw(owned: Owned): Promise<void> {
    const params = { queuedSubmissionId: (await this.#waiting(owned))[1] };
    await this.#change(owned, threadOf(owned).queued.toSpliced(1, 1), 'delete', params);
  }

  async reorder(owned: Owned): Promise<void> {
    const params = { queuedSubmissionIds: (await this.#waiting(owned)).toReversed() };
    await this.#change(owned, threadOf(owned).queued.toReversed(), 'reorder', params);
  }

  /** Waits until nothing waits in a loaded thread, and notes what was said of it. */
  async drained(owned: Owned): Promise<void> {
    const { id: threadId, entry } = owned;
    const { client } = this.#asking;
    for (;;) {
      const from = client.frames.length;
      const { data } = await client.call('thread/queue/list', { threadId });
      const { thread } = await client.call('thread/read', { threadId, includeTurns: true });
      const found = foundIn(thread);
      if (data.length === 0 && found.running === 0) {
        const before = threadOf(owned);
        const words = ofKind(found, 'words');
        const isAnswered = (text: string): boolean => words.some((one) => one.text === text && one.isAnswered);
        const more = before.queued.map((text): Said => ({ kind: 'words', text, isAnswered: isAnswered(text) }));
        entry.certain = { ...before, said: [...before.said, ...more], queued: [] };
        return;
      }
      // A turn that was interrupted, as by a daemon that ends, has paused it. What goes on by itself is refused here.
      if (found.running === 0) await client.answer('thread/queue/start', { threadId });
      await client.notification('turn/completed', (params) => params.threadId === threadId, from);
    }
  }

  async #enqueue(owned: Owned): Promise<void> {
    const text = this.#asking.words();
    const thread = threadOf(owned);
    const params = { input: asInput(text), clientUserMessageId: text.slice(0, 40) };
    const queued = [...thread.queued, printOf(text)];
    await this.#asking.ask(owned, { ...thread, queued }, 'queued', 'thread/queue/add', params);
  }

  async #change(owned: Owned, queued: readonly string[], what: string, params: object): Promise<void> {
    const next = { ...threadOf(owned), queued };
    await this.#asking.ask(owned, next, 'changes of queues', `thread/queue/${what}`, params);
  }

  /** Ids of what waits, in order. */
  async #waiting({ id: threadId }: Owned): Promise<readonly string[]> {
    return (await this.#asking.client.call('thread/queue/list', { threadId })).data.map(({ id }: Json) => id);
  }
}
