import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { invalidRequest } from '../domain/errors.ts';
import { daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';
import { newUuid } from '../domain/ids.ts';
import { permissionProfileOf, sandboxPolicyOf } from '../domain/sandbox-policy.ts';
import { DEFAULT_COLLABORATION } from '../domain/thread-settings.ts';
import { DebugServer } from '../debug/debug-server.ts';
import { EchoModel } from '../engine/echo-model.ts';
import type { ModelClient } from '../engine/model-client.ts';
import { ThreadManager } from '../runtime/thread-manager.ts';
import { formatListenAddress, isLocalAddress, parseListenAddress, type ListenAddress } from '../server/addresses.ts';
import { SkeinServer } from '../server/server.ts';
import { HomeLayout } from '../store/local/home-layout.ts';
import { openIndexThread } from '../store/local/index/index-thread.ts';
import { LocalThreadStore } from '../store/local/local-thread-store.ts';
import { OrganizationFile } from '../store/local/organization-file.ts';
import { VERSION } from '../version.ts';
import { closingTimes } from './closing-times.ts';
import type { Config } from './config.ts';
import { makeHomeDurable } from './durable-home.ts';
import { lockHome } from './home-lock.ts';
import { LastPorts } from './last-ports.ts';
import { makePrivateFolder, readOrMake, replaceFile } from './private-files.ts';
import type { Releasers } from './releasers.ts';
import { usableSocketPath } from './socket-paths.ts';
import { unsavedIn } from './unsaved.ts';

export interface OpenDaemonOptions {
  /** Absolute. */
  readonly home: string;
  readonly config: Config;
  readonly args: readonly string[];
  /** The daemon's folder is there and locked when this is called. */
  readonly openLog: () => { readonly log: Logger; readonly close: () => void };
  /** What has been acquired; given back in the opposite order. */
  readonly releasers: Releasers;
  /** Aborted when the daemon is to end before it is up. */
  readonly signal: AbortSignal;
}

/** A daemon that serves. */
export interface OpenDaemon {
  readonly info: DaemonInfo;
  readonly manager: ThreadManager;
  readonly server: SkeinServer;
  readonly log: Logger;
}

/**
 * Puts a daemon together, from the lock of its home up to its sockets. Everything acquired is registered with the
 * releasers at once, so that a failure half-way, or a wish to stop, leaves nothing behind.
 * @throws conflict if another daemon has the home; invalidRequest for a configuration that cannot be served
 */
export async function openDaemon(options: OpenDaemonOptions): Promise<OpenDaemon> {
  const { home, config, args, openLog, releasers, signal } = options;
  const addresses = config.listen.map(parseListenAddress);
  assertSafe(addresses, config);
  const files = daemonFiles(home);
  makePrivateFolder(files.folder);
  await makeHomeDurable(home, files.lock);
  const lock = lockHome(files.lock);
  releasers.add('the home lock', () => lock.release());
  const { log, close: closeLog } = openLog();
  releasers.add('the log', closeLog);
  // What a daemon left behind that was killed.
  rmSync(files.info, { force: true });

  const index = openIndexThread(
    { home: new HomeLayout(home), defaultModelProvider: config.model.provider },
    (message, error) => log.error({ err: error }, message),
  );
  releasers.add('the index', () => index.close());
  const store = await LocalThreadStore.open({ home, index, maxOpenFiles: config.limits.openRollouts });
  releasers.add('the store', () => store.close());
  const organizationStore = await OrganizationFile.open(new HomeLayout(home).organization);
  releasers.add('what is set for threads', () => organizationStore.close());
  signal.throwIfAborted();

  const startedAtMs = Date.now();
  const nonce = newUuid();
  const sandboxPolicy = sandboxPolicyOf(config.threads.sandbox);
  const manager = new ThreadManager({
    store,
    organizationStore,
    model: modelOf(config),
    durability: config.durability,
    runsCommands: config.threads.shellCommand,
    defaults: {
      settings: {
        model: config.model.name,
        modelProvider: config.model.provider,
        reasoningEffort: null,
        serviceTier: null,
        cwd: config.threads.cwd ?? process.cwd(),
        approvalPolicy: config.threads.approvalPolicy,
        approvalsReviewer: 'user',
        sandboxPolicy,
        permissionProfile: permissionProfileOf(sandboxPolicy),
        collaboration: DEFAULT_COLLABORATION,
      },
      modelProviders: [config.model.provider],
      models: [...new Set([config.model.name, ...config.model.others])],
      reasoningEfforts: [...new Set(config.model.efforts)],
      version: VERSION,
    },
    onProblem: (message, error) => log.error({ err: error }, message),
  });
  const problem = (message: string, error?: unknown): void =>
    log.error(error === undefined ? {} : { err: error }, message);
  let isReady = false;
  const server = new SkeinServer({
    manager,
    identity: {
      version: VERSION,
      home,
      hostName: hostname(),
      installationId: readOrMake(files.installationId, newUuid),
      pid: process.pid,
      nonce,
    },
    unloadDelayMs: config.limits.unloadDelaySeconds * 1_000,
    maxConnections: config.limits.connections,
    initializeTimeoutMs: config.limits.initializeSeconds * 1_000,
    log: { problem, info: (message) => log.info(message) },
    isReady: () => isReady,
  });
  releasers.add('the server', () => server.close('the daemon has stopped'));
  // Threads end while their clients can still hear of it.
  const { threadsMs } = closingTimes(config.limits.shutdownSeconds);
  releasers.add('threads', () => endThreads(manager, threadsMs, log));

  const token = config.auth === 'token' ? readOrMake(files.token, () => randomBytes(32).toString('base64url')) : null;
  const access = { token, allowedOrigins: config.allowedOrigins, allowedHosts: config.allowedHosts };
  const socket: ListenAddress = { kind: 'unix', path: usableSocketPath(files.socket, home) };
  // The socket's folder lets in its owner alone: no token on top.
  await server.listen(socket, { ...access, token: null });
  const lastPorts = LastPorts.read(files.lastPorts, addresses);
  const listening: ListenAddress[] = [];
  for (const address of addresses) {
    signal.throwIfAborted();
    const rules = address.kind === 'unix' ? { ...access, token: null } : access;
    listening.push(await lastPorts.listen(address, (one) => server.listen(one, rules)));
  }

  const info: DaemonInfo = {
    pid: process.pid,
    version: VERSION,
    startedAtMs,
    nonce,
    home,
    listen: listening.map(formatListenAddress),
    auth: config.auth,
    socket: socket.path,
    debugSocket: config.debugSocket ? usableSocketPath(files.debugSocket, home) : null,
    log: files.log,
    model: config.model.client,
    args,
  };
  if (info.debugSocket !== null) {
    const debug = await DebugServer.listen(info.debugSocket, { info, manager, server }, problem);
    releasers.add('the debug socket', () => debug.close());
  }
  signal.throwIfAborted();
  isReady = true;
  replaceFile(files.lastPorts, LastPorts.textOf(listening));
  replaceFile(files.info, `${JSON.stringify(info, null, 2)}\n`);
  releasers.add('the info file', () => rmSync(files.info, { force: true }));
  return { info, manager, server, log };
}

/** @throws invalidRequest for addresses that anyone could come in by */
function assertSafe(addresses: readonly ListenAddress[], { auth }: Config): void {
  const open = auth === 'none' ? addresses.find((address) => !isLocalAddress(address)) : undefined;
  if (open === undefined) return;
  throw invalidRequest(
    `refusing to listen on ${formatListenAddress(open)} without authentication: use --auth token, or a loopback address`,
  );
}

function modelOf({ model }: Config): ModelClient {
  switch (model.client) {
    case 'echo':
      return new EchoModel();
  }
}

async function endThreads(manager: ThreadManager, timeoutMs: number, log: Logger): Promise<void> {
  manager.registry.refuseNew();
  const report = await manager.registry.shutdownAll(timeoutMs, 'the daemon stops');
  const { completed, failed, timedOut } = report;
  const counts = { completed: completed.length, failed, timedOut };
  if (failed.length + timedOut.length === 0) log.info(counts, 'all threads have ended');
  else log.error({ ...counts, unsaved: unsavedIn(manager) }, 'some threads did not end');
}
