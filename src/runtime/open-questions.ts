import type { ClientReply, ClientRequest, ClientRequestMethod } from '../domain/client-request.ts';
import type { ActiveFlag } from './thread-events.ts';

/** A question of the running turn that has not been answered. */
export interface OpenQuestion {
  readonly questionId: string;
  readonly turnId: string;
  readonly request: ClientRequest;
  /** Tells the turn what came of it. */
  readonly settle: (reply: ClientReply) => void;
}

/** What a thread that waits for the answer shows; a tool that a client runs is work, not waiting. */
const FLAGS: Readonly<Record<ClientRequestMethod, ActiveFlag | null>> = {
  'item/commandExecution/requestApproval': 'waitingOnApproval',
  'item/fileChange/requestApproval': 'waitingOnApproval',
  'item/permissions/requestApproval': 'waitingOnApproval',
  'mcpServer/elicitation/request': 'waitingOnApproval',
  'item/tool/requestUserInput': 'waitingOnUserInput',
  'item/tool/call': null,
};

/** The questions of one thread that are open, oldest first. */
export class OpenQuestions {
  readonly #open = new Map<string, OpenQuestion>();

  get size(): number {
    return this.#open.size;
  }

  get all(): readonly OpenQuestion[] {
    return [...this.#open.values()];
  }

  get flags(): readonly ActiveFlag[] {
    const waiting = new Set(this.all.map(({ request }) => FLAGS[request.method]));
    return (['waitingOnApproval', 'waitingOnUserInput'] as const).filter((flag) => waiting.has(flag));
  }

  add(question: OpenQuestion): void {
    this.#open.set(question.questionId, question);
  }

  /** @returns the question, if it was open until now */
  close(questionId: string): OpenQuestion | undefined {
    const question = this.#open.get(questionId);
    this.#open.delete(questionId);
    return question;
  }
}
