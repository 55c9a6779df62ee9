import { invalidRequest, messageOf } from '../domain/errors.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import {
  change,
  type OrganizationChange,
  type QueuedSubmission,
  type TakenSubmission,
} from '../domain/organization.ts';
import type { UserInput } from '../domain/user-input.ts';
import { KeyedMutex } from '../store/mutex.ts';
import type { OrganizationStore } from '../store/organization-store.ts';
import type { ThreadStore } from '../store/thread-store.ts';
import type { CodexThread } from './codex-thread.ts';
import type { AcceptedInput } from './thread-turns.ts';
import { findTurn } from './find-turn.ts';

/** Submissions that may wait for one thread. */
export const MAX_QUEUED = 100;

export interface ThreadQueuesOptions {
  readonly store: OrganizationStore;
  /** Whose histories say which turns have begun. */
  readonly threads: Pick<ThreadStore, 'listTurns'>;
  /** A loaded thread that takes turns. */
  readonly find: (threadId: ThreadId) => CodexThread | undefined;
  readonly onChanged: (threadId: ThreadId) => void;
  readonly onProblem: (message: string, cause: unknown) => void;
}

interface Queue {
  readonly submissions: Map<string, QueuedSubmission>;
  /** Ids in the order in which they are to be taken. */
  order: readonly string[];
  taken: TakenSubmission | undefined;
  /** Submissions that are done, which may not be stored yet. */
  readonly unnoted: Set<string>;
  /** Nothing is taken until something else happens in the thread, or somebody says so. */
  isPaused: boolean;
}

/**
 * The messages that wait for each thread, first in, first out. While a thread is loaded, idle and not paused, the first
 * one is made a turn.
 *
 * Each makes one turn exactly, whenever the process may end: the id of its turn is chosen and written down, durably,
 * before the turn begins. Whoever finds such a mark looks into the thread's history: with the turn and its words there
 * the submission is done, else nobody has seen anything of it and it waits on.
 */
export class ThreadQueues {
  readonly #options: ThreadQueuesOptions;
  readonly #queues = new Map<ThreadId, Queue>();
  /** One thing at a time is done with a queue. */
  readonly #mutex = new KeyedMutex<ThreadId>();
  #isEnding = false;

  constructor(options: ThreadQueuesOptions) {
    this.#options = options;
    const orders = new Map<ThreadId, readonly string[]>();
    for (const { kind, key, value } of options.store.entries) {
      const [threadId, submissionId = ''] = key.split('/') as [ThreadId, string?];
      if (kind === 'queued') {
        this.#queue(threadId).submissions.set(submissionId, value as unknown as QueuedSubmission);
      } else if (kind === 'queueOrder') orders.set(threadId, value as readonly string[]);
      else if (kind === 'queueTaken') this.#queue(threadId).taken = value as unknown as TakenSubmission;
      else if (kind === 'queuePaused') this.#queue(threadId).isPaused = true;
    }
    for (const [threadId, queue] of this.#queues) {
      const known = (orders.get(threadId) ?? []).filter((id) => queue.submissions.has(id));
      const added = [...queue.submissions.keys()].filter((id) => !known.includes(id)).toSorted();
      queue.order = [...known, ...added];
    }
  }

  /** What waits for a thread, in order. */
  list(threadId: ThreadId): Promise<readonly QueuedSubmission[]> {
    return this.#with(threadId, async (queue) => inOrder(queue));
  }

  /** Adds a message at the end. Durable when it returns. @throws invalidRequest if the queue is full */
  add(threadId: ThreadId, message: Omit<QueuedSubmission, 'id'>): Promise<QueuedSubmission> {
    return this.#with(threadId, async (queue) => {
      if (queue.order.length >= MAX_QUEUED) {
        throw invalidRequest(`queue cannot contain more than ${MAX_QUEUED} submissions`);
      }
      const submission = { id: newUuid(), ...message };
      await this.#write([queued(threadId, submission)]);
      queue.submissions.set(submission.id, submission);
      queue.order = [...queue.order, submission.id];
      return submission;
    });
  }

  /** @param metadata undefined keeps what is there @throws invalidRequest if it does not wait any more */
  update(
    threadId: ThreadId,
    id: string,
    input: readonly UserInput[],
    metadata: JsonObject | undefined,
  ): Promise<QueuedSubmission> {
    return this.#with(threadId, async (queue) => {
      const before = waiting(queue, id);
      const submission = {
        ...before,
        input,
        responsesapiClientMetadata: metadata ?? before.responsesapiClientMetadata,
      };
      await this.#write([queued(threadId, submission)]);
      queue.submissions.set(id, submission);
      return submission;
    });
  }

  /** @returns false if it does not wait (any more) */
  delete(threadId: ThreadId, id: string): Promise<boolean> {
    return this.#with(threadId, async (queue) => {
      if (!queue.submissions.has(id)) return false;
      await this.#write([change('queued', `${threadId}/${id}`, null)]);
      remove(queue, id);
      return true;
    });
  }

  /** @throws invalidRequest unless all that wait are named once each */
  reorder(threadId: ThreadId, ids: readonly string[]): Promise<void> {
    return this.#with(threadId, async (queue) => {
      const isWhole = ids.length === queue.order.length && new Set(ids).size === ids.length;
      if (!isWhole || ids.some((id) => !queue.submissions.has(id))) {
        throw invalidRequest('queue reorder must include every queued submission exactly once');
      }
      if (ids.length === 0) return;
      await this.#write([change('queueOrder', threadId, ids)]);
      queue.order = [...ids];
    });
  }

  /**
   * Begins a turn with a message that waits, the first one if none is named; the others follow.
   * @param accepted called once its words are durable, before anyone is told of anything
   * @throws invalidRequest if there is none, or the thread cannot take it now
   */
  start(
    threadId: ThreadId,
    id: string | undefined,
    cause: string,
    accepted: (answer: AcceptedInput) => void,
  ): Promise<void> {
    return this.#with(threadId, async (queue) => {
      const thread = this.#options.find(threadId);
      if (thread === undefined) throw invalidRequest('resume the thread before starting a queued message');
      const next = id === undefined ? queue.order[0] : waiting(queue, id).id;
      if (thread.activeTurnId !== null) throw invalidRequest('thread already has an active or pending turn');
      if (next === undefined) throw invalidRequest('queue is empty');
      const isBegun = await this.#begin(threadId, thread, queue, next, cause, accepted);
      if (!isBegun) throw invalidRequest('thread already has an active or pending turn');
    });
  }

  /** Takes the next message if the thread can have it now. Does nothing while the queue is paused. Never rejects. */
  async wake(threadId: ThreadId, cause: string): Promise<void> {
    if (!this.#queues.has(threadId)) return;
    try {
      await this.#with(threadId, async (queue) => {
        const thread = this.#options.find(threadId);
        const [next] = queue.order;
        if (this.#isEnding || thread === undefined || next === undefined || queue.isPaused) return;
        await this.#begin(threadId, thread, queue, next, cause, () => {});
      });
    } catch (error) {
      this.#options.onProblem(
        `a queued message of thread ${threadId} could not be started: ${messageOf(error)}`,
        error,
      );
    }
  }

  /** A turn was interrupted: what waits, and what comes to wait, is not sent by itself now. */
  pause(threadId: ThreadId): void {
    const queue = this.#queue(threadId);
    if (queue.isPaused) return;
    queue.isPaused = true;
    this.#writeLater([change('queuePaused', threadId, true)]);
  }

  /** A turn went to its end: what waits may follow. */
  unpause(threadId: ThreadId): void {
    const queue = this.#queues.get(threadId);
    if (queue?.isPaused !== true) return;
    queue.isPaused = false;
    this.#writeLater([change('queuePaused', threadId, null)]);
    this.#dropWhenFree(threadId, queue);
  }

  /** Nothing is taken by itself any more: the daemon is about to end. */
  end(): void {
    this.#isEnding = true;
  }

  /** Resolves when what was asked of a queue before is done. */
  settled(threadId: ThreadId): Promise<void> {
    return this.#mutex.run(threadId, async () => {});
  }

  /** What to remove of a thread that is gone. */
  forget(threadId: ThreadId): readonly OrganizationChange[] {
    const queue = this.#queues.get(threadId);
    if (queue === undefined) return [];
    this.#queues.delete(threadId);
    return [
      ...[...queue.order, ...queue.unnoted].map((id) => change('queued', `${threadId}/${id}`, null)),
      ...(['queueOrder', 'queueTaken', 'queuePaused'] as const).map((kind) => change(kind, threadId, null)),
    ];
  }

  /** @returns false if a turn runs already */
  async #begin(
    threadId: ThreadId,
    thread: CodexThread,
    queue: Queue,
    submissionId: string,
    cause: string,
    accepted: (answer: AcceptedInput) => void,
  ): Promise<boolean> {
    if (thread.activeTurnId !== null) return false;
    const { input, clientUserMessageId } = waiting(queue, submissionId);
    const taken: TakenSubmission = { submissionId, turnId: newUuid() };
    const message = { input, clientId: clientUserMessageId };
    const whenAccepted = (answer: AcceptedInput): void => {
      this.#done(threadId, queue, taken);
      this.unpause(threadId);
      accepted(answer);
      this.#options.onChanged(threadId);
    };
    try {
      // The mark takes the place of the last one, which must not be needed any more.
      const done = Array.from(queue.unnoted, (id) => change('queued', `${threadId}/${id}`, null));
      await this.#write([...done, change('queueTaken', threadId, taken)]);
      queue.taken = taken;
      const isBegun = await thread.beginTurn(taken.turnId, { message, accepted: whenAccepted }, cause);
      if (!isBegun) this.#waitsOn(threadId, queue);
      return isBegun;
    } catch (error) {
      // Its mark stays: only the history says whether it is there. It is not tried again until something happens.
      // A thread that was closed under it goes on when it is resumed.
      if (this.#options.find(threadId) === thread) queue.isPaused = true;
      throw error;
    }
  }

  /** Runs work on a queue whose entries all wait: of one that was taken it has been found out what came of it. */
  #with<T>(threadId: ThreadId, work: (queue: Queue) => Promise<T>): Promise<T> {
    return this.#mutex.run(threadId, async () => {
      const queue = this.#queue(threadId);
      try {
        const { taken } = queue;
        if (taken !== undefined) {
          if (queue.submissions.has(taken.submissionId) && !(await this.#hasBegun(threadId, taken.turnId))) {
            this.#waitsOn(threadId, queue);
          } else this.#done(threadId, queue, taken);
        }
        return await work(queue);
      } finally {
        this.#dropUnused(threadId, queue);
      }
    });
  }

  /** The turn is in the history, with what its user said. */
  async #hasBegun(threadId: ThreadId, turnId: string): Promise<boolean> {
    const turn = await findTurn(this.#options.threads, threadId, turnId);
    return turn?.items.some(({ type }) => type === 'userMessage') === true;
  }

  /** Its words are in the history. If that cannot be noted now, the history says it again later. */
  #done(threadId: ThreadId, queue: Queue, { submissionId }: TakenSubmission): void {
    remove(queue, submissionId);
    queue.taken = undefined;
    queue.unnoted.add(submissionId);
    const isOrdered = queue.order.length > 0;
    const changes = [
      change('queued', `${threadId}/${submissionId}`, null),
      change('queueTaken', threadId, null),
      ...(isOrdered ? [] : [change('queueOrder', threadId, null)]),
    ];
    this.#writeLater(changes, () => {
      queue.unnoted.delete(submissionId);
      this.#dropWhenFree(threadId, queue);
    });
  }

  /** Nothing has come of it. */
  #waitsOn(threadId: ThreadId, queue: Queue): void {
    queue.taken = undefined;
    this.#writeLater([change('queueTaken', threadId, null)]);
  }

  #queue(threadId: ThreadId): Queue {
    const known = this.#queues.get(threadId);
    if (known !== undefined) return known;
    const queue: Queue = { submissions: new Map(), order: [], taken: undefined, unnoted: new Set(), isPaused: false };
    this.#queues.set(threadId, queue);
    return queue;
  }

  /** Not under somebody who is about to add to it. */
  #dropWhenFree(threadId: ThreadId, queue: Queue): void {
    void this.#mutex.run(threadId, async () => this.#dropUnused(threadId, queue));
  }

  #dropUnused(threadId: ThreadId, queue: Queue): void {
    const { order, taken, unnoted, isPaused } = queue;
    const isUsed = order.length > 0 || taken !== undefined || unnoted.size > 0 || isPaused;
    if (!isUsed && this.#queues.get(threadId) === queue) this.#queues.delete(threadId);
  }

  #write(changes: readonly OrganizationChange[]): Promise<void> {
    return this.#options.store.write(changes, 'power');
  }

  #writeLater(changes: readonly OrganizationChange[], onWritten = (): void => {}): void {
    this.#options.store
      .write(changes, 'process')
      .then(onWritten)
      .catch((error: unknown) => this.#options.onProblem('the state of a queue could not be stored', error));
  }
}

const queued = (threadId: ThreadId, submission: QueuedSubmission): OrganizationChange =>
  change('queued', `${threadId}/${submission.id}`, submission);

function waiting(queue: Queue, id: string): QueuedSubmission {
  const submission = queue.submissions.get(id);
  if (submission === undefined) throw invalidRequest(`queued submission not found: ${id}`);
  return submission;
}

function remove(queue: Queue, id: string): void {
  queue.submissions.delete(id);
  queue.order = queue.order.filter((other) => other !== id);
}

const inOrder = ({ order, submissions }: Queue): readonly QueuedSubmission[] =>
  order.flatMap((id) => submissions.get(id) ?? []);
