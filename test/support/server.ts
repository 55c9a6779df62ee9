import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { sandboxPolicyOf } from '../../src/domain/sandbox-policy.ts';
import { DEFAULT_COLLABORATION } from '../../src/domain/thread-settings.ts';
import { EchoModel } from '../../src/engine/echo-model.ts';
import type { ModelClient } from '../../src/engine/model-client.ts';
import { ThreadManager } from '../../src/runtime/thread-manager.ts';
import type { AccessRules } from '../../src/server/access.ts';
import { formatListenAddress } from '../../src/server/addresses.ts';
import { SkeinServer } from '../../src/server/server.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import type { OrganizationStore } from '../../src/store/organization-store.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { connected } from './daemon.ts';
import type { RpcClient, RpcClientOptions } from './rpc-client.ts';
import { tempFolder } from './temp-home.ts';

export interface ServerSetup {
  /** What it says that it serves. */
  readonly home?: string;
  readonly model?: ModelClient;
  readonly store?: ThreadStore;
  readonly organization?: OrganizationStore;
  readonly unloadDelayMs?: number;
  readonly maxConnections?: number;
  readonly initializeTimeoutMs?: number;
  readonly access?: Partial<AccessRules>;
  readonly isReady?: () => boolean;
  /** Names besides that of the model, and efforts, that clients may choose. */
  readonly others?: readonly string[];
  readonly efforts?: readonly string[];
}

/** A server in this process, over a WebSocket port and a Unix socket. */
export interface RunningServer {
  readonly server: SkeinServer;
  readonly manager: ThreadManager;
  readonly store: ThreadStore;
  /** `ws://…` */
  readonly url: string;
  readonly port: number;
  /** Path of the Unix socket. */
  readonly socket: string;
  /** What its log has. */
  readonly logged: readonly string[];
  connect(options?: RpcClientOptions): Promise<RpcClient>;
}

/** Serves until the test ends. Without a delay nothing is unloaded. */
export async function startServer(setup: ServerSetup = {}): Promise<RunningServer> {
  const { model = new EchoModel(), unloadDelayMs = 3_600_000, isReady = () => true } = setup;
  const store = setup.store ?? new MemoryThreadStore({ defaultModelProvider: 'hand' });
  const logged: string[] = [];
  const manager = new ThreadManager({
    store,
    ...(setup.organization === undefined ? {} : { organizationStore: setup.organization }),
    model,
    durability: 'process',
    defaults: {
      settings: {
        model: 'hand-model',
        modelProvider: 'hand',
        reasoningEffort: null,
        serviceTier: null,
        cwd: '/tmp',
        approvalPolicy: 'never',
        approvalsReviewer: 'user',
        sandboxPolicy: sandboxPolicyOf('read-only'),
        permissionProfile: ':read-only',
        collaboration: DEFAULT_COLLABORATION,
      },
      modelProviders: ['hand'],
      models: ['hand-model', ...(setup.others ?? [])],
      reasoningEfforts: setup.efforts ?? [],
      version: '0.0.0',
    },
    onProblem: (message) => logged.push(message),
  });
  const server = new SkeinServer({
    manager,
    identity: {
      version: '0.0.0',
      home: setup.home ?? '/tmp',
      hostName: 'here',
      installationId: 'one',
      pid: 7,
      nonce: 'run',
    },
    unloadDelayMs,
    maxConnections: setup.maxConnections ?? 512,
    initializeTimeoutMs: setup.initializeTimeoutMs ?? 60_000,
    log: { problem: (message) => logged.push(message), info: (message) => logged.push(message) },
    isReady,
  });
  const access = { token: null, allowedOrigins: [], allowedHosts: [], ...setup.access };
  onTestFinished(async () => {
    await manager.registry.shutdownAll(10_000, 'the test ends');
    await server.close('the test ends');
    await store.close();
  });
  const socket = join(tempFolder(), 'server.sock');
  await server.listen({ kind: 'unix', path: socket }, { ...access, token: null });
  const address = await server.listen({ kind: 'ws', host: '127.0.0.1', port: 0 }, access);
  const url = formatListenAddress(address);
  return {
    server,
    manager,
    store,
    url,
    port: address.kind === 'ws' ? address.port : 0,
    socket,
    logged,
    connect: (options) => connected(url, options),
  };
}
