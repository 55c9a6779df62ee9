import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { configJsonSchema, DEFAULT_CONFIG } from '../../src/daemon/config.ts';
import { loadConfig } from '../../src/daemon/load-config.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { tempFolder } from '../support/temp-home.ts';

const ROOT = join(import.meta.dirname, '../..');
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

function writeConfig(path: string, config: unknown): string {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, typeof config === 'string' ? config : JSON.stringify(config));
  return path;
}

it('LIFE-1 the default configuration and its schema in the repository are those of the code', () => {
  const schema = './daemon.config.schema.json';
  expect(readJson(join(ROOT, 'daemon.config.json'))).toEqual({ $schema: schema, ...DEFAULT_CONFIG });
  expect(readJson(join(ROOT, 'daemon.config.schema.json'))).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
});

it('LIFE-2 every setting is described in the schema', () => {
  const undescribed: string[] = [];
  const visit = (schema: { properties?: object; description?: string }, path: string): void => {
    if (schema.description === undefined) undescribed.push(path);
    for (const [name, inner] of Object.entries(schema.properties ?? {})) visit(inner, `${path}.${name}`);
  };
  visit(configJsonSchema(), 'config');
  expect(undescribed).toEqual([]);
});

it('LIFE-3 the command line wins over the file, and the file over the defaults', () => {
  const home = tempFolder();
  const own = join(daemonFiles(home).folder, 'daemon.config.json');
  writeConfig(own, { model: { name: 'from home' }, limits: { drainSeconds: 1 } });
  const asked = writeConfig(join(home, 'asked.json'), { model: { name: 'asked for' } });
  const named = writeConfig(join(home, 'named.json'), { model: { name: 'from environment' } });
  const load = (options: Partial<Parameters<typeof loadConfig>[0]>): ReturnType<typeof loadConfig> =>
    loadConfig({ home, settings: [], environment: {}, ...options });

  expect(load({})).toEqual({
    ...DEFAULT_CONFIG,
    model: { ...DEFAULT_CONFIG.model, name: 'from home' },
    limits: { ...DEFAULT_CONFIG.limits, drainSeconds: 1 },
  });
  expect(load({ environment: { SKEIN_CONFIG: named } }).model.name).toBe('from environment');
  expect(load({ environment: { SKEIN_CONFIG: named }, file: asked }).model.name).toBe('asked for');
  expect(load({ file: asked }).limits).toEqual(DEFAULT_CONFIG.limits);
  const settings = ['model.name=first', 'model.name=last', 'limits.drainSeconds=0.5', 'listen=["unix:///tmp/x"]'];
  expect(load({ settings })).toMatchObject({
    model: { name: 'last' },
    limits: { drainSeconds: 0.5 },
    listen: ['unix:///tmp/x'],
  });
});

it.each([
  [{ settings: ['limits.drainSeconds=-1'] }, 'limits.drainSeconds:'],
  [{ settings: ['model.client=gpt'] }, 'model.client:'],
  [{ settings: ['colour=red'] }, 'Unrecognized key: "colour"'],
  [{ settings: ['model'] }, '--set takes key.path=value, not model'],
  [{ settings: ['__proto__.x=1'] }, '--set cannot set'],
  [{ file: '/nowhere/x.json' }, 'there is no configuration file /nowhere/x.json'],
])('LIFE-4 a configuration that makes no sense is refused by name: %j', (options, message) => {
  const load = (): unknown => loadConfig({ home: '/nowhere', settings: [], environment: {}, ...options });
  expect(load).toThrow(message);
});

it('LIFE-5 a configuration file that is no JSON object is refused by path', () => {
  const home = tempFolder();
  for (const text of ['{ "model": ', '[]']) {
    const file = writeConfig(join(home, 'bad.json'), text);
    expect(() => loadConfig({ home, settings: [], environment: {}, file })).toThrow(file);
  }
});
