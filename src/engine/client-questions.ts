import { setMaxListeners } from 'node:events';
import type { ClientReply, ClientRequest, ClientRequestMethod, ClientRequests } from '../domain/client-request.ts';

/** What a turn asks its clients with. */
export interface ClientQuestions {
  /**
   * Asks everyone who watches the thread, now or later, until one has answered; nobody has to watch it now, and there
   * is no time after which it is given up. Ends as `withdrawn` when the call of the model that asks is over. Never rejects.
   */
  ask<M extends ClientRequestMethod>(method: M, params: ClientRequests[M]['params']): Promise<ClientReply<M>>;
}

/**
 * Brings a question to the clients.
 * @param signal withdraws it
 * @returns what came of it; never rejects
 */
export type AskClients = (request: ClientRequest, signal: AbortSignal) => Promise<ClientReply>;

/** Asks while one call of a model lasts. */
export class CallQuestions implements ClientQuestions {
  readonly #askClients: AskClients;
  readonly #over = new AbortController();
  #open = 0;

  constructor(askClients: AskClients) {
    this.#askClients = askClients;
    // One listener for each open question: the thread bounds those.
    setMaxListeners(0, this.#over.signal);
  }

  /** Some question has no answer yet. */
  get isWaiting(): boolean {
    return this.#open > 0;
  }

  async ask<M extends ClientRequestMethod>(method: M, params: ClientRequests[M]['params']): Promise<ClientReply<M>> {
    if (this.#over.signal.aborted) return { type: 'withdrawn' };
    this.#open += 1;
    try {
      // Answers are checked against their question where they come in (protocol/client-answers.ts).
      const request = { method, params } as ClientRequest;
      return await this.#askClients(request, this.#over.signal);
    } finally {
      this.#open -= 1;
    }
  }

  /** The call is over: nothing more is asked, and nothing waited for. */
  end(): void {
    this.#over.abort();
  }
}
