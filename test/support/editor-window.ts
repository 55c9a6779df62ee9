import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createCodexAppServer, type CodexAppServerSession } from 'ai-sdk-provider-codex-cli';
import { expect, onTestFinished } from 'vitest';
import { SKEIN } from './daemon.ts';
import { eventually } from './eventually.ts';
import type { Json } from './rpc-client.ts';
import { tempFolder } from './temp-home.ts';

/** A window of an editor: a client that launches `codex app-server` itself, unmodified, and has one thread. */
export interface EditorWindow {
  /** Says something. Resolves when an answer is on its way. */
  say(words: string): Promise<Answer>;
  /** What its user can do to an answer on its way. */
  session(): CodexAppServerSession;
  /** Its models, as it lists them. */
  models(): Promise<readonly Json[]>;
  /** What it had to complain of. */
  readonly complaints: readonly string[];
  /** Closes it. Resolves when the server that it launched has ended. */
  close(): Promise<void>;
}

/** What a window shows of an answer. */
export interface Answer {
  /** What it was told about the thread since it spoke. */
  readonly told: readonly { readonly method: string; readonly params: Json }[];
  /** The answer so far. */
  text(): string;
  /** How it ended. */
  readonly ended: Promise<string>;
}

/** @param threadId a thread to go on with; a new one if it is left out */
export function openWindow(home: string, threadId?: string): EditorWindow {
  const codexPath = join(tempFolder(), 'codex');
  symlinkSync(SKEIN, codexPath);
  const complaints: string[] = [];
  let launched = 0;
  let session: CodexAppServerSession | undefined;
  const complain = (message: string): void => void complaints.push(message);
  const provider = createCodexAppServer({
    defaultSettings: {
      codexPath,
      env: { SKEIN_HOME: home },
      cwd: home,
      ...(threadId === undefined ? { threadMode: 'persistent' } : { resume: threadId }),
      includeRawChunks: true,
      onSessionCreated: (created) => void (session = created),
      logger: {
        debug: () => {},
        info: (message) => void (launched -= Number(message.includes('codex app-server exited'))),
        warn: complain,
        error: complain,
      },
    },
  });
  const model = provider('echo');
  const close = async (): Promise<void> => {
    await provider.close();
    await eventually(() => expect(launched).toBeLessThanOrEqual(0));
  };
  onTestFinished(close);
  return {
    say: async (words) => {
      launched = 1;
      const { stream } = await model.doStream({ prompt: [{ role: 'user', content: [{ type: 'text', text: words }] }] });
      return answerIn(stream);
    },
    session: () => {
      if (session === undefined) throw new Error('there is no thread yet');
      return session;
    },
    models: async () => {
      launched = 1;
      return (await provider.listModels()).models;
    },
    complaints,
    close,
  };
}

function answerIn(stream: ReadableStream): Answer {
  const told: { method: string; params: Json }[] = [];
  let text = '';
  const read = async (): Promise<string> => {
    let end = 'never';
    for await (const part of stream) {
      if (part.type === 'raw') told.push(part.rawValue);
      else if (part.type === 'text-delta') text += part.delta;
      else if (part.type === 'finish') end = part.finishReason.raw;
      else if (part.type === 'error') throw part.error;
    }
    return end;
  };
  const ended = read();
  // Whoever waits for it hears of it.
  ended.catch(() => {});
  return { told, text: () => text, ended };
}
