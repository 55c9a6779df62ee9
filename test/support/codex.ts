import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { codexBinary } from './codex-binary.ts';
import { start, type Running, type WhenDone } from './process.ts';
import { connected } from './daemon.ts';
import type { RpcClient, RpcClientOptions } from './rpc-client.ts';
import type { ScriptedModel } from './responses-api.ts';

/** Provider id that the Codex of a test knows. */
export const PROVIDER = 'scripted';

/** Model that it asks. */
export const MODEL = 'scripted-model';

export interface RunningCodex extends Running {
  readonly url: string;
  connect(options?: RpcClientOptions): Promise<RpcClient>;
}

export interface CodexOptions {
  /** Lines of TOML. */
  readonly settings?: readonly string[];
  readonly whenDone?: WhenDone;
}

/** Configures a home of the real Codex: offline, against a scripted model. */
export function configureCodex(home: string, model: ScriptedModel, settings: readonly string[] = []): void {
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, 'config.toml'),
    [
      `model = "${MODEL}"`,
      `model_provider = "${PROVIDER}"`,
      ...settings,
      `[model_providers.${PROVIDER}]`,
      'name = "scripted"',
      `base_url = "${model.baseUrl}"`,
      'wire_api = "responses"',
      '',
    ].join('\n'),
  );
}

/** Runs the app-server of the real Codex on a home, offline, against a scripted model. */
export async function startCodex(
  home: string,
  model: ScriptedModel,
  { settings = [], whenDone = onTestFinished }: CodexOptions = {},
): Promise<RunningCodex> {
  configureCodex(home, model, settings);
  const running = start(
    codexBinary(),
    ['app-server', '--listen', 'ws://127.0.0.1:0'],
    { env: { PATH: process.env['PATH'], HOME: join(home, 'user'), CODEX_HOME: home }, cwd: home },
    whenDone,
  );
  const [url] = await running.said(/ws:\/\/[0-9.]+:[1-9][0-9]*/);
  return { ...running, url, connect: (options) => connected(url, options) };
}
