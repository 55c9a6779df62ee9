import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startCodex } from '../../support/codex.ts';
import { startScriptedModel } from '../../support/responses-api.ts';
import { RpcClient, type Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { Stage } from '../scenario.ts';
import { ofKind, textsIn, type Thread } from './expectation.ts';
import { foundIn } from './found-thread.ts';
import type { Ledger } from './ledger.ts';

/** How the real Codex reads threads of Skein. */
export interface CodexReads {
  /** Threads of which it shows all that was said. */
  readonly whole: number;
  /** Threads of which it leaves out turns. */
  readonly inPart: number;
  readonly defects: readonly string[];
}

/** Lets the real Codex, with a new database, read a copy of a home whose threads have just been verified. */
export async function codexReads(home: string, ledger: Ledger, { whenDone }: Stage): Promise<CodexReads> {
  const copy = tempFolder('skein-faults-codex-', whenDone);
  cpSync(home, copy, { recursive: true, filter: (path) => path !== join(home, 'skein') });
  const codex = await startCodex(copy, await startScriptedModel(undefined, whenDone), { whenDone });
  const client = await RpcClient.connect(codex.url);
  // With a new database Codex leaves out turns of threads that were reverted, and of their forks, its own as well.
  const mayLeaveOut = [...ledger.entries.values()].some(({ isReverted }) => isReverted);
  const defects: string[] = [];
  let [whole, inPart] = [0, 0];
  for (const [id, { certain, trail }] of ledger.entries) {
    if (certain === null) continue;
    try {
      if (certain.isArchived) await client.call('thread/unarchive', { threadId: id });
      // It shows the turns of a thread whose history comes in pages when it has once opened it.
      await client.call('thread/resume', { threadId: id, excludeTurns: true });
      const found = foundIn({ turns: await turnsOf(client, id), name: null });
      if (found.wrong[0] !== undefined) {
        defects.push(`round ${ledger.round}: of ${id} Codex ${found.wrong[0]}; ${trail.join(', ')}`);
      } else if (isWhole(found, certain)) whole += 1;
      else if (mayLeaveOut && isPartOf(found, certain)) inPart += 1;
      else {
        defects.push(
          `round ${ledger.round}: Codex reads ${id} as [${textsIn(found)}] instead of [${textsIn(certain)}]; ${trail.join(', ')}`,
        );
      }
    } catch (error) {
      defects.push(`round ${ledger.round}: Codex cannot read ${id}: ${(error as Error).message}`);
    }
  }
  await client.close();
  await codex.stop('SIGKILL');
  rmSync(copy, { recursive: true, force: true });
  return { whole, inPart, defects };
}

/** It says what was said, with all answers, and of what waited then as much as was said since. */
function isWhole(found: Thread, thread: Thread): boolean {
  const [said, words] = [ofKind(found, 'words'), ofKind(thread, 'words')];
  const texts = [...words.map(({ text }) => text), ...thread.queued];
  return (
    said.length >= words.length &&
    said.every(({ text, isAnswered }, at) => text === texts[at] && (isAnswered || words[at]?.isAnswered !== true))
  );
}

/** Whatever the one says the other says too, in the same order. */
function isPartOf(thread: Thread, whole: Thread): boolean {
  const said = ofKind(thread, 'words');
  let at = 0;
  for (const { text } of ofKind(whole, 'words')) if (said[at]?.text === text) at += 1;
  return at === said.length;
}

async function turnsOf(client: RpcClient, threadId: string): Promise<readonly Json[]> {
  const turns: Json[] = [];
  let cursor: string | null = null;
  do {
    const query = { threadId, cursor, limit: 100, sortDirection: 'asc', itemsView: 'full' };
    const page: Json = await client.call('thread/turns/list', query);
    turns.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return turns;
}
