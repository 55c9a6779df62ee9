import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { daemonFiles, type DaemonInfo } from '../../../src/domain/daemon-files.ts';
import { startDaemon } from '../../support/daemon.ts';
import { isAlive, start, type Running } from '../../support/process.ts';
import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { median } from '../median.ts';
import type { Figures, Scenario, Stage } from '../scenario.ts';

/** Starts at once, and how often, if nothing else is said. */
const SHORT = { waves: 4, starts: 10 };
const LONG_STARTS = 100;

/** Half of the waves take no longer than as many starts alone would one after the other, times this. */
const PATIENCE = 3;

/** What `skein` ends with: it has found the daemon, it failed, another one holds the home. */
const [OK, FAILED, CONFLICT] = [0, 1, 5];

/** Lets many start a daemon of one home at once, over whatever may lie there. */
export const starts: Scenario = {
  name: 'starts',
  about: 'many starts of one home at once, over what killed daemons, copied homes and strangers have left there',
  isMeasured: true,
  run: async (stage) => {
    const waves = new Waves(stage);
    for (let wave = 0; wave < (stage.runs ?? SHORT.waves); wave += 1) {
      stage.progress(`wave ${wave + 1}`);
      await waves.measure();
      await waves.play(wave, stage.runs === undefined ? SHORT.starts : LONG_STARTS);
    }
    stage.progress('a stranger on the socket, a socket that is removed');
    await waves.strangerOnSocket();
    await waves.removedSocket();
    return waves.figures;
  },
};

/** What a home may hold before a daemon is started. */
const LEFT_BEHIND = ['nothing', 'a reused pid', 'damaged files', 'a copied home'] as const;

class Waves {
  readonly #stage: Stage;
  readonly #defects: string[] = [];
  readonly #details: Record<string, number> = {};
  #asked = 0;
  #named = 0;
  /** How long one start takes that is alone, before each wave, ms. */
  readonly #aloneMs: number[] = [];
  /** How long each start of a wave takes, if they share it evenly, ms. */
  readonly #eachMs: number[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  get figures(): Figures {
    const [alone, each] = [median(this.#aloneMs), median(this.#eachMs)];
    const details = { ...this.#details, 'alone ms': Math.round(alone), 'in a wave ms': Math.round(each) };
    const [acknowledged, found] = [this.#asked, this.#named];
    const slow = each > alone * PATIENCE ? [`a start of a wave takes ${each} ms, and ${alone} ms alone`] : [];
    const defects = [...this.#defects, ...slow];
    return { injected: 'starts at once', times: this.#asked, acknowledged, found, details, defects };
  }

  async measure(): Promise<void> {
    const home = this.#home();
    const from = performance.now();
    await this.#skein(home, 'start').exited;
    this.#aloneMs.push(performance.now() - from);
    await this.#stop(home);
  }

  /** So many at once: all name the same daemon, which serves. */
  async play(wave: number, count: number): Promise<void> {
    const { random } = this.#stage;
    const home = this.#home();
    const left = LEFT_BEHIND[wave % LEFT_BEHIND.length] ?? 'nothing';
    const other = await this.#leave(home, left);
    const from = performance.now();
    const answers = await Promise.all(
      Array.from({ length: count }, () => this.#namedBy(home, random.chance(0.5) ? 'start' : 'run')),
    );
    const ms = performance.now() - from;
    this.#eachMs.push(ms / (count + 2));
    const pid = infoOf(home)?.pid;
    this.#asked += count;
    this.#named += answers.filter((answer) => answer === pid).length;
    for (const answer of answers) if (answer !== pid) this.#defect(left, `the daemon is ${pid}, one says ${answer}`);
    if (pid === undefined || !isAlive(pid)) this.#defect(left, `the daemon ${pid} does not run`);
    else await this.#serves(home, left);
    const stopped = await this.#stop(home);
    if (stopped !== OK) this.#defect(left, `stop ends with ${stopped}`);
    if (pid !== undefined && isAlive(pid)) this.#defect(left, `${pid} runs after a stop`);
    if (other !== undefined && !isAlive(other)) this.#defect(left, 'the daemon of the original has gone');
  }

  /** Somebody else listens where the daemon would: it is named as the reason, and left alone. */
  async strangerOnSocket(): Promise<void> {
    const home = this.#home();
    const { folder, socket } = daemonFiles(home);
    mkdirSync(folder);
    const stranger = createServer().listen(socket);
    await once(stranger, 'listening');
    for (const command of ['run', 'start'] as const) {
      const running = this.#skein(home, command);
      const code = await running.exited;
      const isNamed = running.output().includes(socket);
      if (code !== FAILED || !isNamed) this.#defect('a stranger', `${command} ends with ${code}: ${running.output()}`);
    }
    const closed = once(stranger, 'close');
    stranger.close();
    await closed;
    if ((await this.#skein(home, 'start').exited) !== OK) this.#defect('a stranger', 'has gone, and no start succeeds');
    await this.#stop(home);
  }

  /** The socket is removed: whoever starts then finds the daemon that runs, and who has come by it stays. */
  async removedSocket(): Promise<void> {
    const home = this.#home();
    const daemon = await startDaemon(home, [], this.#stage.whenDone);
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    rmSync(daemon.info.socket);
    const answers = await Promise.all([this.#namedBy(home, 'start'), this.#namedBy(home, 'run')]);
    this.#asked += answers.length;
    this.#named += answers.filter((pid) => pid === daemon.info.pid).length;
    if (answers.some((pid) => pid !== daemon.info.pid)) this.#defect('no socket', `starts say ${answers.join(', ')}`);
    await this.#serves(home, 'no socket');
    await client.call('thread/list', {});
    await client.close();
    if ((await daemon.stop()) !== OK) this.#defect('no socket', 'the daemon does not end well');
  }

  /** @returns the pid of a daemon of another home that must not notice anything */
  async #leave(home: string, what: (typeof LEFT_BEHIND)[number]): Promise<number | undefined> {
    const { random, whenDone } = this.#stage;
    const { folder, info, lock, token, lastPorts } = daemonFiles(home);
    if (what === 'nothing') return undefined;
    if (what === 'a copied home') {
      const original = await startDaemon(tempFolder('skein-starts-', whenDone), [], whenDone);
      mkdirSync(folder);
      writeFileSync(info, readFileSync(daemonFiles(original.info.home).info));
      return original.info.pid;
    }
    const killed = await startDaemon(home, [], whenDone);
    await killed.stop('SIGKILL');
    if (what === 'a reused pid') {
      writeFileSync(lock, `{"pid":${process.pid},"product":"skein"}\n`);
      writeFileSync(info, JSON.stringify({ ...killed.info, pid: process.pid }));
    } else if (what === 'damaged files') {
      for (const path of [info, lock, token, lastPorts]) {
        writeFileSync(path, random.pick(['', 'null', '[]', '{"pid":', '{}', '\0'.repeat(100)]));
      }
    }
    return undefined;
  }

  /** @returns the pid that a command names, or what it says instead */
  async #namedBy(home: string, command: 'start' | 'run'): Promise<number | string> {
    const running = this.#skein(home, command);
    // A `run` that becomes the daemon does not end.
    const line = running.said(/^\{.*"pid":.*\}\n/m).catch(() => undefined);
    const code = await Promise.race([running.exited, line.then((said) => (said === undefined ? running.exited : OK))]);
    const pid = /pid"?[: ]+(\d+)/.exec(running.output())?.[1];
    const isRight = code === OK || (command === 'run' && code === CONFLICT);
    return isRight && pid !== undefined ? Number(pid) : `${command} ends with ${code}: ${running.output()}`;
  }

  async #serves(home: string, left: string): Promise<void> {
    try {
      const client = await RpcClient.connect(`unix://${infoOf(home)?.socket}`);
      const { thread } = await client.call('thread/start', {});
      await client.turn(thread.id, 'hello');
      await client.close();
    } catch (error) {
      this.#defect(left, `the daemon does not serve: ${String(error)}`);
    }
  }

  #skein(home: string, command: 'start' | 'run' | 'stop'): Running {
    const { main, whenDone } = this.#stage;
    const env = { ...process.env, HOME: home };
    return start(process.execPath, [main, command, '--json', '--home', home], { env }, whenDone);
  }

  /** A new home. A daemon that runs in the background when all is over has to go with it. */
  #home(): string {
    const { whenDone } = this.#stage;
    const home = tempFolder('skein-starts-', whenDone);
    whenDone(async () => {
      if (existsSync(daemonFiles(home).info)) await this.#stop(home);
    });
    return home;
  }

  async #stop(home: string): Promise<number | NodeJS.Signals | null> {
    return this.#skein(home, 'stop').exited;
  }

  #defect(left: string, what: string): void {
    this.#defects.push(`over ${left}: ${what}`);
  }
}

function infoOf(home: string): DaemonInfo | undefined {
  try {
    return JSON.parse(readFileSync(daemonFiles(home).info, 'utf8')) as DaemonInfo;
  } catch {
    return undefined;
  }
}
