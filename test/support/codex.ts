import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
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

/** Runs the app-server of the real Codex on a home, offline, against a scripted model. */
export async function startCodex(
  home: string,
  model: ScriptedModel,
  { settings = [], whenDone = onTestFinished }: CodexOptions = {},
): Promise<RunningCodex> {
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
  const running = start(
    codexBinary(),
    ['app-server', '--listen', 'ws://127.0.0.1:0'],
    { env: { PATH: process.env['PATH'], HOME: join(home, 'user'), CODEX_HOME: home }, cwd: home },
    whenDone,
  );
  const [url] = await running.said(/ws:\/\/[0-9.]+:[1-9][0-9]*/);
  return { ...running, url, connect: (options) => connected(url, options) };
}

/** The executable itself: its Node wrapper would be one process more to end. */
export function codexBinary(): string {
  const require = createRequire(import.meta.url);
  const wrapper = createRequire(require.resolve('@openai/codex/package.json'));
  const { platform, arch } = process;
  const manifest = wrapper.resolve(`@openai/codex-${platform}-${arch}/package.json`);
  const triples: Readonly<Record<string, string>> = {
    'linux-x64': 'x86_64-unknown-linux-musl',
    'linux-arm64': 'aarch64-unknown-linux-musl',
    'darwin-x64': 'x86_64-apple-darwin',
    'darwin-arm64': 'aarch64-apple-darwin',
  };
  return join(manifest, '../vendor', triples[`${platform}-${arch}`] ?? '', 'bin/codex');
}
