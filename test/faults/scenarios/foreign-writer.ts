import { readFileSync } from 'node:fs';
import { PROVIDER, startCodex } from '../../support/codex.ts';
import { startDaemon } from '../../support/daemon.ts';
import { startScriptedModel } from '../../support/responses-api.ts';
import { RpcClient, type Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { Figures, Scenario, Stage } from '../scenario.ts';

/** What writes a thread, and so is refused while another program holds it. */
const WRITING: Readonly<Record<string, object>> = {
  'thread/resume': {},
  'turn/start': { input: [{ type: 'text', text: 'by Skein, meanwhile', text_elements: [] }] },
  'thread/archive': {},
  'thread/delete': {},
  'thread/revert': {},
  'thread/memoryMode/set': { mode: 'disabled' },
  'thread/metadata/update': { gitInfo: { sha: 'abc' } },
};

const SHORT_ROUNDS = 2;

/** Lets a real Codex hold threads in the middle of a turn, works on them from Skein, and kills Codex. */
export const foreignWriter: Scenario = {
  name: 'foreign',
  about: 'a real Codex in the middle of a turn, while Skein tries to write its thread, and then kill -9 of Codex',
  run: async (stage) => {
    const rounds = new ForeignRounds(stage);
    for (let round = 0; round < (stage.runs ?? SHORT_ROUNDS); round += 1) {
      stage.progress(`round ${round + 1}`);
      await rounds.play(round % 2 === 0 ? 'paginated' : 'legacy');
    }
    return rounds.figures;
  },
};

class ForeignRounds {
  readonly #stage: Stage;
  readonly #defects: string[] = [];
  #kills = 0;
  #refused = 0;
  #words = 0;
  #found = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  get figures(): Figures {
    const [acknowledged, found] = [this.#words, this.#found];
    const details = { refused: this.#refused };
    return { injected: 'foreign writer', times: this.#kills, acknowledged, found, details, defects: this.#defects };
  }

  async play(historyMode: 'legacy' | 'paginated'): Promise<void> {
    const { whenDone } = this.#stage;
    const home = tempFolder('skein-foreign-', whenDone);
    let goOn: () => void = () => {};
    const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
    const script = (text: string): string | { text: string; mayGoOn: Promise<void> } =>
      text === 'slowly' ? { text: 'begun and not ended', mayGoOn } : `you said: ${text}`;
    const model = await startScriptedModel(script, whenDone);
    const codex = await startCodex(home, model, { whenDone });
    const daemon = await startDaemon(home, ['--set', `model.provider=${PROVIDER}`], whenDone);
    const inCodex = await RpcClient.connect(codex.url);
    const inSkein = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const threadId = (await inCodex.call('thread/start', { historyMode })).thread.id as string;
    await inCodex.turn(threadId, 'held by Codex');
    const { path } = (await inSkein.call('thread/read', { threadId })).thread;
    const input = [{ type: 'text', text: 'slowly', text_elements: [] }];
    await inCodex.call('turn/start', { threadId, input });
    await inCodex.notification('item/agentMessage/delta', ({ delta }) => String(delta).startsWith('begun'));

    const before = readFileSync(path);
    const beforeTurnId = (await inSkein.call('thread/turns/list', { threadId })).data[0].id;
    const refusals = Object.entries(WRITING).map(async ([method, params]) => {
      const answer = await inSkein.answer(method, { threadId, beforeTurnId, ...params });
      if (answer.error === undefined) this.#defects.push(`${historyMode}: ${method} was not refused`);
      // What needs a loaded thread does not come so far as to meet the holder.
      else if (
        answer.error.data?.kind === 'conflict' &&
        !answer.error.data.holder?.includes(`pid ${codex.child.pid}`)
      ) {
        this.#defects.push(`${historyMode}: ${method} names ${answer.error.data.holder}`);
      } else this.#refused += 1;
    });
    await Promise.all(refusals);
    const { holder } = (await inSkein.answer('thread/resume', { threadId })).error?.data ?? {};
    if (holder !== `pid ${codex.child.pid} (codex)`)
      this.#defects.push(`${historyMode}: the holder is said to be ${holder}`);
    if (!readFileSync(path).equals(before))
      this.#defects.push(`${historyMode}: the rollout has changed under its writer`);
    await inSkein.call('thread/name/set', { threadId, name: 'by Skein' });
    const fork = (await inSkein.call('thread/fork', { threadId })).thread.id as string;
    await inSkein.turn(fork, 'in the fork');

    await codex.stop('SIGKILL');
    goOn();
    this.#kills += 1;
    await inSkein.call('thread/resume', { threadId, excludeTurns: true });
    await inSkein.turn(threadId, 'taken over');
    await this.#look(inSkein, historyMode, threadId, ['held by Codex', 'slowly', 'taken over'], 'by Skein');
    await this.#look(inSkein, historyMode, fork, ['held by Codex', 'slowly', 'in the fork'], undefined);
    const text = readFileSync(path, 'utf8');
    if (!text.startsWith(before.toString('utf8')))
      this.#defects.push(`${historyMode}: what Codex wrote is not as it was`);
    for (const line of text.split('\n').slice(0, -1))
      if (!isJson(line)) this.#defects.push(`${historyMode}: a line is torn`);
    if ((await daemon.stop()) !== 0) this.#defects.push(`${historyMode}: the daemon ends badly`);
    const again = await startCodex(home, model, { whenDone });
    const reader = await RpcClient.connect(again.url);
    await reader.call('thread/resume', { threadId, excludeTurns: true });
    await this.#look(reader, historyMode, threadId, ['held by Codex', 'slowly', 'taken over'], undefined);
    await again.stop('SIGKILL');
  }

  async #look(
    client: RpcClient,
    mode: string,
    threadId: string,
    words: readonly string[],
    name?: string,
  ): Promise<void> {
    const { data } = await client.call('thread/turns/list', { threadId, itemsView: 'full', sortDirection: 'asc' });
    const said: readonly string[] = data
      .flatMap((turn: Json) => turn.items)
      .filter(({ type }: Json) => type === 'userMessage')
      .map(({ content }: Json) => content.map(({ text }: Json) => text).join(''));
    this.#words += words.length;
    this.#found += words.filter((word) => said.includes(word)).length;
    if (said.join() !== words.join())
      this.#defects.push(`${mode}: ${threadId} says [${said.join()}] instead of [${words.join()}]`);
    if (name === undefined) return;
    const { thread } = await client.call('thread/read', { threadId });
    if (thread.name !== name) this.#defects.push(`${mode}: ${threadId} is called ${thread.name}`);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
