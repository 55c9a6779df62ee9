import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The executable of the peer itself: its Node wrapper would be one process more to end. */
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
