import * as z from 'zod';
import type { AnswerTo, ClientReply, ClientRequestMethod } from '../domain/client-request.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import { stringMember } from '../domain/json.ts';

/**
 * What clients may answer to questions of turns. Read with care: an answer that is not exactly one is none, whatever it
 * was meant to say, so that no misunderstanding counts as consent. Members that nobody knows are left out.
 */

const fileDecision = z.enum(['accept', 'acceptForSession', 'decline', 'cancel']);

const networkRule = z.object({ action: z.enum(['allow', 'deny']), host: z.string() });

const commandDecision = z.union([
  fileDecision,
  z.strictObject({ acceptWithExecpolicyAmendment: z.object({ execpolicy_amendment: z.array(z.string()) }) }),
  z.strictObject({ applyNetworkPolicyAmendment: z.object({ network_policy_amendment: networkRule }) }),
]);

const toolOutput = z.discriminatedUnion('type', [
  z.object({ type: z.literal('inputText'), text: z.string() }),
  z.object({ type: z.literal('inputImage'), imageUrl: z.string() }),
  z.object({ type: z.literal('inputAudio'), audioUrl: z.string() }),
]);

const specialPath = z.union([
  z.object({ kind: z.enum(['root', 'minimal', 'tmpdir', 'slash_tmp']) }),
  z.object({ kind: z.literal('project_roots'), subpath: z.string().nullish() }),
  z.object({ kind: z.literal('unknown'), path: z.string(), subpath: z.string().nullish() }),
]);

const fileSystemPath = z.discriminatedUnion('type', [
  z.object({ type: z.literal('path'), path: z.string() }),
  z.object({ type: z.literal('glob_pattern'), pattern: z.string() }),
  z.object({ type: z.literal('special'), value: specialPath }),
]);

const fileSystem = z.object({
  entries: z.array(z.object({ access: z.enum(['read', 'write', 'deny']), path: fileSystemPath })).nullish(),
  globScanMaxDepth: z.int().min(1).nullish(),
  read: z.array(z.string()).nullish(),
  write: z.array(z.string()).nullish(),
});

const permissions = z.object({
  fileSystem: fileSystem.nullish(),
  network: z.object({ enabled: z.boolean().nullish() }).nullish(),
});

const json = z.unknown() as unknown as z.ZodType<JsonValue | undefined>;

const ANSWERS: { readonly [M in ClientRequestMethod]: z.ZodType<AnswerTo<M>> } = {
  'item/commandExecution/requestApproval': z.object({ decision: commandDecision }),
  'item/fileChange/requestApproval': z.object({ decision: fileDecision }),
  'item/tool/call': z.object({ contentItems: z.array(toolOutput), success: z.boolean() }),
  'item/tool/requestUserInput': z.object({
    answers: z.record(z.string(), z.object({ answers: z.array(z.string()) })),
  }),
  'item/permissions/requestApproval': z.object({
    permissions,
    scope: z.enum(['turn', 'session']).default('turn'),
    strictAutoReview: z.boolean().nullish(),
  }),
  'mcpServer/elicitation/request': z.object({
    action: z.enum(['accept', 'decline', 'cancel']),
    content: json.optional(),
    _meta: json.optional(),
  }),
};

/** An answer as it came: with a result, or an error, or something that must not go on to rollouts. */
export interface RawAnswer {
  readonly result: JsonValue | undefined;
  readonly error: JsonObject | undefined;
  /** Why it cannot be used, whatever it says. */
  readonly problem?: string | undefined;
}

/** What an answer to a question says. Total: an error counts even beside a result. */
export function readAnswer(method: ClientRequestMethod, { result, error, problem }: RawAnswer): ClientReply {
  if (error !== undefined) {
    return { type: 'failed', reason: 'error', message: stringMember(error, 'message') ?? 'the client failed' };
  }
  if (problem !== undefined) return malformed(problem);
  const parsed = ANSWERS[method].safeParse(result);
  if (parsed.success) return { type: 'answered', answer: parsed.data };
  const [issue] = parsed.error.issues;
  return malformed(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not an answer'}`);
}

const malformed = (what: string): ClientReply => ({
  type: 'failed',
  reason: 'malformed',
  message: `the client's answer cannot be read: ${what}`,
});
