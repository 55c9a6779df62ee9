import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import { codexBinary } from './codex-binary.ts';

/**
 * The peer's own JSON schemas, printed by its binary, and what of a message does not fit them. Tests of Skein hold every
 * message that it sends against them (test/support/rpc-client.ts).
 */

/** Where the schemas lie, for the processes of a test run. */
const FOLDER = 'SKEIN_TEST_PROTOCOL_SCHEMAS';

/** Prints the schemas once for a test run. @returns removes them */
export function printProtocolSchemas(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'codex-schemas-'));
  execFileSync(codexBinary(), ['app-server', 'generate-json-schema', '--experimental', '--out', folder], {
    env: { PATH: process.env['PATH'], HOME: folder, CODEX_HOME: folder },
    stdio: 'ignore',
  });
  process.env[FOLDER] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

interface RequestVariant {
  readonly properties: {
    readonly method: { readonly enum: readonly [string] };
    readonly params?: Schema;
  };
}

/** What of a JSON schema is looked at here. */
export interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly type?: string | readonly string[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly minimum?: number;
}

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: false });
const validators = new Map<string, ValidateFunction>();

function printedTo(): string {
  const path = process.env[FOLDER];
  if (path === undefined) throw new Error('the schemas of the protocol have not been printed');
  return path;
}

const files = new Map<string, object>();

function schema(file: string): object {
  const known = files.get(file);
  if (known !== undefined) return known;
  const read = JSON.parse(readFileSync(join(printedTo(), file), 'utf8')) as object;
  files.set(file, read);
  return read;
}

/** All types in one file: what several of them share is made a validator once. */
function whole(): string {
  const file = 'codex_app_server_protocol.schemas.json';
  if (!files.has(file)) ajv.addSchema(schema(file), file);
  return file;
}

/** Where the type of a file stands in the file of all. */
const placeOf = (file: string): string => `/definitions/${file.replace(/^v1\//, '').replace(/\.json$/, '')}`;

/** Checks a value against a file, or against the variant of it that a method has: trying all of them takes long. */
function validator(file: string, method?: string): ValidateFunction | undefined {
  const key = `${file} ${method ?? ''}`;
  const known = validators.get(key);
  if (known !== undefined) return known;
  const variant = method === undefined ? -1 : variantsOf(file).findIndex((one) => methodOf(one) === method);
  if (method !== undefined && variant === -1) return undefined;
  const made = ajv.compile({ $ref: `${whole()}#${placeOf(file)}${variant === -1 ? '' : `/oneOf/${variant}`}` });
  validators.set(key, made);
  return made;
}

/** Methods that the peer's schema has, in its order. */
export function methodsOf(kind: 'ClientRequest' | 'ServerNotification' | 'ServerRequest'): readonly string[] {
  return variantsOf(`${kind}.json`).map(methodOf);
}

/** The schema of a type of the protocol, such as `ThreadReadParams`. */
export const schemaOf = (type: string): Schema & { readonly definitions?: Readonly<Record<string, Schema>> } =>
  schema(`v2/${type}.json`);

/**
 * Parameters of a method that have no more in them than they must; null if it can do without any.
 * @param text stands for every text
 */
export const leastParams = (method: string, text: string): unknown => madeParams(method, text, null);

/**
 * Parameters of a method with everything in them that can be; null if there are none.
 * @param text stands for every text
 * @param variant which of several shapes they have, wherever they may have several; counted round and round
 */
export const fullParams = (method: string, text: string, variant: number): unknown => madeParams(method, text, variant);

function madeParams(method: string, text: string, variant: number | null): unknown {
  const { definitions = {} } = schema('ClientRequest.json') as { readonly definitions?: Record<string, Schema> };
  const params = variantsOf('ClientRequest.json').find((request) => methodOf(request) === method)?.properties.params;
  const made = (of: Schema | undefined): unknown => {
    if (of?.$ref !== undefined) return made(definitions[of.$ref.split('/').at(-1) ?? '']);
    const shapes = of?.allOf ?? of?.oneOf ?? of?.anyOf ?? [];
    if (shapes.length > 0) return made(shapes[(variant ?? 0) % shapes.length]);
    if (of?.enum !== undefined) return of.enum[0];
    switch (typeof of?.type === 'string' ? of.type : of?.type?.[0]) {
      case 'object': {
        const names = variant === null ? (of?.required ?? []) : Object.keys(of?.properties ?? {});
        return Object.fromEntries(names.map((name) => [name, made(of?.properties?.[name])]));
      }
      case 'array':
        return variant === null || of?.items === undefined ? [] : [made(of.items)];
      case 'string':
        return text;
      case 'boolean':
        return false;
      case 'integer':
      case 'number':
        return of?.minimum ?? 0;
      default:
        return null;
    }
  };
  return made(params);
}

const methodOf = ({ properties }: RequestVariant): string => properties.method.enum[0];

const variantsOf = (file: string): readonly RequestVariant[] =>
  (schema(file) as { readonly oneOf: readonly RequestVariant[] }).oneOf;

/** Answers whose type is not named as the parameters are. */
const ODD_RESPONSES: Readonly<Record<string, string>> = {
  'memory/reset': 'MemoryResetResponse',
  'rollout/compress': 'RolloutCompressResponse',
  'account/gatewayOAuth/cancel': 'GatewayOAuthCancelResponse',
  'remoteControl/status/read': 'RemoteControlStatusReadResponse',
  'config/mcpServer/reload': 'McpServerRefreshResponse',
  'windowsSandbox/readiness': 'WindowsSandboxReadinessResponse',
  'accountSession/list': 'AccountSessionsResponse',
  'account/logout': 'LogoutAccountResponse',
  'account/securitySetup/read': 'GetAccountSecuritySetupResponse',
  'account/workspaceMessages/read': 'GetWorkspaceMessagesResponse',
  'externalAgentConfig/import/readHistories': 'ExternalAgentConfigImportHistoriesReadResponse',
  'config/value/write': 'ConfigWriteResponse',
  'config/batchWrite': 'ConfigWriteResponse',
  'configRequirements/read': 'ConfigRequirementsReadResponse',
};

const responseFiles = new Map<string, string | null>();

/** The file of a method's answer; null if the peer's schema does not have it. */
function responseFile(method: string): string | null {
  const known = responseFiles.get(method);
  if (known !== undefined) return known;
  const variant = variantsOf('ClientRequest.json').find((request) => methodOf(request) === method);
  const { params } = variant?.properties ?? {};
  const ref = params?.$ref ?? params?.anyOf?.find(({ $ref }) => $ref !== undefined)?.$ref ?? '';
  const name = ODD_RESPONSES[method] ?? (ref.split('/').at(-1) ?? '').replace(/Params$/, 'Response');
  const found = ['', 'v1/', 'v2/']
    .map((room) => `${room}${name}.json`)
    .find((file) => existsSync(join(printedTo(), file)));
  responseFiles.set(method, found ?? null);
  return found ?? null;
}

/**
 * What is wrong with an answer, a notification or a request of the server; undefined if it fits.
 * @param answered method of the request that the message answers; absent: the message is the server's own
 */
export function misfit(message: unknown, answered?: string): string | undefined {
  if (answered === undefined) {
    const { id, method } = message as { readonly id?: unknown; readonly method: string };
    return misfitOf(id === undefined ? 'ServerNotification.json' : 'ServerRequest.json', message, method);
  }
  const { error, result } = message as { readonly error?: unknown; readonly result?: unknown };
  if (error !== undefined) return misfitOf('JSONRPCError.json', message);
  const file = responseFile(answered);
  if (file === null) return `the peer has no method ${answered}`;
  return misfitOf(file, result);
}

/** What is wrong with a client's answer to a request of the server; undefined if it fits. */
export function answerMisfit(method: string, result: unknown): string | undefined {
  const variant = variantsOf('ServerRequest.json').find((request) => methodOf(request) === method);
  const name = (variant?.properties.params?.$ref?.split('/').at(-1) ?? '').replace(/Params$/, 'Response');
  return misfitOf(`${name}.json`, result);
}

function misfitOf(file: string, value: unknown, method?: string): string | undefined {
  const validate = validator(file, method);
  if (validate === undefined) return `${file} has no ${method}`;
  if (validate(value)) return undefined;
  return `${file}: ${ajv.errorsText(validate.errors?.slice(0, 5))}`;
}
