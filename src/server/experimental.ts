import { isJsonObject, type JsonObject, type JsonValue } from '../domain/json.ts';
import { RPC_CODES, RpcError } from '../protocol/errors.ts';
import type { ClientIdentity } from './connection.ts';

/** A parameter that only the experimental protocol has. */
export interface ExperimentalMember {
  /** As the refusal names it. */
  readonly name: (method: string) => string;
  readonly isUsed: (params: JsonObject) => boolean;
}

/** What a method needs from a connection that has not asked for the experimental protocol. */
export type Experimental =
  | 'no'
  /** The whole method. */
  | 'method'
  /** These parameters; the first one that is used is named. */
  | readonly ExperimentalMember[];

/** Parameters that count as used with any value but null. */
export const given = (...members: readonly string[]): readonly ExperimentalMember[] =>
  members.map((member) => ({
    name: (method) => `${method}.${member}`,
    isUsed: (params) => params[member] !== undefined && params[member] !== null,
  }));

/** Switches, which count as used when they are on. A dot leads into a member. */
export const switchedOn = (...members: readonly string[]): readonly ExperimentalMember[] =>
  members.map((member) => ({
    name: (method) => `${method}.${member}`,
    isUsed: (params) =>
      member.split('.').reduce<JsonValue | undefined>((at, key) => (isJsonObject(at) ? at[key] : undefined), params) ===
      true,
  }));

/** Approvals told apart by kind, wherever a policy can be named. */
export const granularApprovals: ExperimentalMember = {
  name: () => 'askForApproval.granular',
  isUsed: ({ approvalPolicy }) => isJsonObject(approvalPolicy) && approvalPolicy['granular'] !== undefined,
};

/** @throws RpcError for what only the experimental protocol has */
export function assertAllowed(
  method: string,
  experimental: Experimental,
  params: JsonValue | undefined,
  client: ClientIdentity,
): void {
  if (client.isExperimental || experimental === 'no') return;
  const used =
    experimental === 'method'
      ? method
      : isJsonObject(params)
        ? experimental.find(({ isUsed }) => isUsed(params))?.name(method)
        : undefined;
  if (used === undefined) return;
  throw new RpcError(RPC_CODES.invalidRequest, `${used} requires experimentalApi capability`);
}
