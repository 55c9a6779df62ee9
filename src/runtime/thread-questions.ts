import type { ClientReply, ClientRequest } from '../domain/client-request.ts';
import { newUuid } from '../domain/ids.ts';
import { OpenQuestions, type OpenQuestion } from './open-questions.ts';
import type { ThreadActor } from './thread-actor.ts';
import type { ActiveFlag, ThreadEvent } from './thread-events.ts';

/** Questions of one turn that clients may have before them at once. */
const MAX_OPEN_QUESTIONS = 64;

/** What the running turn of one thread asks its clients: from the question to its answer, or to its end without one. */
export class ThreadQuestions {
  readonly #actor: Pick<ThreadActor, 'send' | 'states' | 'turnId' | 'isOver'>;
  readonly #tell: (event: ThreadEvent) => void;
  readonly #open = new OpenQuestions();
  /** What clients were last told that the turn waits for. */
  #shownFlags: readonly ActiveFlag[] = [];
  /** Those of an interrupted turn: the turn knows already, and clients will when it has ended. */
  #withdrawn: OpenQuestion[] = [];

  constructor(actor: Pick<ThreadActor, 'send' | 'states' | 'turnId' | 'isOver'>, tell: (event: ThreadEvent) => void) {
    this.#actor = actor;
    this.#tell = tell;
  }

  /** Oldest first. */
  get open(): readonly OpenQuestion[] {
    return this.#open.all;
  }

  /** What the turn waits for. */
  get flags(): readonly ActiveFlag[] {
    return this.#open.flags;
  }

  /** Asks whoever watches. @param signal withdraws the question @returns what came of it; never rejects */
  ask(turnId: string, request: ClientRequest, signal: AbortSignal): Promise<ClientReply> {
    if (this.#open.size >= MAX_OPEN_QUESTIONS) {
      const message = `${MAX_OPEN_QUESTIONS} questions wait for an answer already`;
      return Promise.resolve({ type: 'failed', reason: 'error', message });
    }
    return new Promise((resolve) => {
      const questionId = newUuid();
      const withdraw = (): void => this.#withdraw(questionId);
      const settle = (reply: ClientReply): void => {
        signal.removeEventListener('abort', withdraw);
        resolve(reply);
      };
      this.#actor.send({ type: 'client.asked', requestId: questionId, cause: request.method });
      // The machine lets a turn ask only while it runs.
      if (this.#actor.turnId !== turnId || this.#actor.states.turn !== 'awaitingClient') {
        settle({ type: 'withdrawn' });
        return;
      }
      this.#open.add({ questionId, turnId, request, settle });
      signal.addEventListener('abort', withdraw);
      this.#tellFlags();
      this.#tell({ type: 'clientAsked', questionId, turnId, request });
    });
  }

  /** Passes on what a client has answered. @returns false if the question is not open (any more) */
  answer(questionId: string, reply: ClientReply, cause: string): boolean {
    const question = this.#open.close(questionId);
    if (question === undefined) return false;
    this.#closed(question, cause);
    question.settle(reply);
    return true;
  }

  /** The turn has ended, and clients know that: they hear what they could not answer any more. */
  turnEnded(): void {
    this.#shownFlags = [];
    for (const { questionId, request } of this.#withdrawn.splice(0)) {
      this.#tell({ type: 'clientQuestionClosed', questionId, method: request.method });
    }
  }

  /** The thread has failed under its turn. */
  crashed(): void {
    for (const { questionId } of this.#open.all) this.#withdraw(questionId);
    this.turnEnded();
  }

  /** The turn waits for the answer no more. */
  #withdraw(questionId: string): void {
    const question = this.#open.close(questionId);
    if (question === undefined) return;
    if (this.#actor.isOver || this.#actor.states.turn === 'interrupting') this.#withdrawn.push(question);
    else this.#closed(question, `${question.request.method} withdrawn`);
    question.settle({ type: 'withdrawn' });
  }

  #closed({ questionId, request: { method } }: OpenQuestion, cause: string): void {
    this.#tell({ type: 'clientQuestionClosed', questionId, method });
    this.#actor.send({ type: 'client.answered', requestId: questionId, cause });
    this.#tellFlags();
  }

  /** Says what the running turn waits for, if that has changed. */
  #tellFlags(): void {
    const { flags } = this;
    if (flags.join() === this.#shownFlags.join()) return;
    this.#shownFlags = flags;
    this.#tell({ type: 'statusChanged', status: { type: 'active', activeFlags: flags } });
  }
}
