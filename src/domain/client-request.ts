import type { JsonObject, JsonValue } from './json.ts';

/**
 * What a turn can ask the clients that watch its thread, in the protocol's names: parameters without `threadId` and
 * `turnId`, which whoever passes the question on knows, and what a good answer says.
 */
export interface ClientRequests {
  /** May this command run? */
  readonly 'item/commandExecution/requestApproval': {
    readonly params: CommandApproval;
    readonly answer: { readonly decision: CommandDecision };
  };
  /** May these files be changed? The item shows how. */
  readonly 'item/fileChange/requestApproval': {
    readonly params: FileChangeApproval;
    readonly answer: { readonly decision: FileChangeDecision };
  };
  /** Run a tool that the client has brought along. */
  readonly 'item/tool/call': {
    readonly params: DynamicToolCall;
    readonly answer: { readonly contentItems: readonly ToolOutput[]; readonly success: boolean };
  };
  /** Ask the user something. */
  readonly 'item/tool/requestUserInput': {
    readonly params: UserInputRequest;
    /** By id of the question. */
    readonly answer: { readonly answers: { readonly [questionId: string]: { readonly answers: readonly string[] } } };
  };
  /** May the turn do more than its policy lets it? */
  readonly 'item/permissions/requestApproval': {
    readonly params: PermissionsApproval;
    readonly answer: {
      readonly permissions: Permissions;
      readonly scope: 'turn' | 'session';
      readonly strictAutoReview?: boolean | null | undefined;
    };
  };
  /** An MCP server asks the user something. */
  readonly 'mcpServer/elicitation/request': {
    readonly params: Elicitation;
    readonly answer: {
      readonly action: 'accept' | 'decline' | 'cancel';
      readonly content?: JsonValue | undefined;
      readonly _meta?: JsonValue | undefined;
    };
  };
}

export type ClientRequestMethod = keyof ClientRequests;

/** A question as a turn puts it. */
export type ClientRequest = {
  readonly [M in ClientRequestMethod]: { readonly method: M; readonly params: ClientRequests[M]['params'] };
}[ClientRequestMethod];

/** A good answer to a question. */
export type AnswerTo<M extends ClientRequestMethod> = ClientRequests[M]['answer'];

/** What came of a question. Only `answered` can mean consent, and only if the answer says so. */
export type ClientReply<M extends ClientRequestMethod = ClientRequestMethod> =
  | { readonly type: 'answered'; readonly answer: AnswerTo<M> }
  /** A client has answered with an error, or with something that is no answer to the question. */
  | { readonly type: 'failed'; readonly reason: 'error' | 'malformed'; readonly message: string }
  /** Nobody is asked any more: the turn has ended, was interrupted, or no longer waits for it. */
  | { readonly type: 'withdrawn' };

interface CommandApproval {
  readonly kind?: 'command' | 'writeStdin';
  readonly itemId: string;
  readonly startedAtMs: number;
  /** Tells several questions about one item apart. */
  readonly approvalId?: string | null;
  readonly environmentId?: string | null;
  readonly reason?: string | null;
  readonly command?: string | null;
  readonly cwd?: string | null;
  readonly commandActions?: readonly JsonObject[] | null;
  readonly networkApprovalContext?: {
    readonly host: string;
    readonly protocol: 'http' | 'https' | 'socks5Tcp' | 'socks5Udp';
  } | null;
  readonly additionalPermissions?: Permissions | null;
  readonly proposedExecpolicyAmendment?: readonly string[] | null;
  readonly proposedNetworkPolicyAmendments?: readonly NetworkRule[] | null;
  readonly availableDecisions?: readonly CommandDecision[] | null;
}

interface NetworkRule {
  readonly action: 'allow' | 'deny';
  readonly host: string;
}

export type CommandDecision =
  | FileChangeDecision
  | { readonly acceptWithExecpolicyAmendment: { readonly execpolicy_amendment: readonly string[] } }
  | { readonly applyNetworkPolicyAmendment: { readonly network_policy_amendment: NetworkRule } };

/** `decline`: the turn goes on without it. `cancel`: the turn ends, too. */
export type FileChangeDecision = 'accept' | 'acceptForSession' | 'decline' | 'cancel';

interface FileChangeApproval {
  readonly itemId: string;
  readonly startedAtMs: number;
  readonly reason?: string | null;
  readonly grantRoot?: string | null;
}

interface DynamicToolCall {
  readonly callId: string;
  readonly namespace: string | null;
  readonly tool: string;
  readonly arguments: JsonValue;
}

export type ToolOutput =
  | { readonly type: 'inputText'; readonly text: string }
  | { readonly type: 'inputImage'; readonly imageUrl: string }
  | { readonly type: 'inputAudio'; readonly audioUrl: string };

interface UserInputRequest {
  readonly itemId: string;
  readonly isBlocking: boolean;
  readonly autoResolutionMs?: number | null;
  readonly questions: readonly {
    readonly id: string;
    readonly header: string;
    readonly question: string;
    readonly isOther?: boolean;
    readonly isSecret?: boolean;
    readonly options?: readonly { readonly label: string; readonly description: string }[] | null;
  }[];
}

interface PermissionsApproval {
  readonly itemId: string;
  readonly startedAtMs: number;
  readonly cwd: string;
  readonly environmentId?: string | null;
  readonly reason?: string | null;
  readonly permissions: Permissions;
}

/** What may be touched beyond the policy. */
export interface Permissions {
  readonly fileSystem?: JsonObject | null | undefined;
  readonly network?: { readonly enabled?: boolean | null | undefined } | null | undefined;
}

type Elicitation = { readonly serverName: string; readonly _meta?: JsonValue } & (
  | { readonly mode: 'form'; readonly message: string; readonly requestedSchema: JsonObject }
  | { readonly mode: 'openai/form' | 'openaiForm'; readonly message: string; readonly requestedSchema: JsonValue }
  | { readonly mode: 'url'; readonly message: string; readonly url: string; readonly elicitationId: string }
  | {
      readonly mode: 'openai/userVerification';
      readonly title: string;
      readonly description: string;
      readonly challenge: string;
    }
);
