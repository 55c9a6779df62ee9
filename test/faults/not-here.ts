import { spawnSync } from 'node:child_process';

/** Why this machine does not allow a fault. */
export class NotHere extends Error {}

/** @throws NotHere */
export function assertCommand(command: string): void {
  const { error } = spawnSync(command, ['--version'], { stdio: 'ignore' });
  if (error !== undefined) throw new NotHere(`there is no ${command}`, { cause: error });
}

/** What a command has said, if one has failed; without paths, which differ from run to run. */
export function reasonOf(error: unknown): string {
  const { stderr, message } = error as Error & { readonly stderr?: Buffer };
  const said = (stderr?.toString('utf8') ?? message).trim().split('\n')[0] ?? '';
  return said.replaceAll(/\/\S+/g, '…');
}
