import { arrayMember, isJsonObject, stringMember, type JsonObject } from '../domain/json.ts';
import { homeHint } from './hints.ts';
import { oneLine } from './output.ts';

/** Longer than what a person reads at a glance. */
const MAX_LENGTH = 200;

/**
 * What a turn asks the clients of its thread, on one line, and who can answer: commands show questions and answer none.
 * @param home as given by the user; undefined for the default
 */
export function describeQuestion(method: string, params: JsonObject, home: string | undefined): string {
  const who = method === 'item/tool/call' ? 'the client that has it' : 'any client that has the thread open';
  const threadId = stringMember(params, 'threadId') ?? '';
  return `${oneLine(wordsOf(method, params), MAX_LENGTH)} (for ${who}, as: skein connect${homeHint(home)} --exec -- resume ${threadId})`;
}

function wordsOf(method: string, params: JsonObject): string {
  const text = (name: string): string => stringMember(params, name) ?? '';
  switch (method) {
    case 'item/commandExecution/requestApproval':
      return `may it run ${text('command') || 'a command'}?`;
    case 'item/fileChange/requestApproval':
      return `may it change files? ${text('reason')}`;
    case 'item/permissions/requestApproval':
      return `may it have more permissions? ${text('reason')}`;
    case 'mcpServer/elicitation/request':
      return `${text('serverName')} asks: ${text('message')}`;
    case 'item/tool/requestUserInput':
      return arrayMember(params, 'questions')
        .filter(isJsonObject)
        .map((question) => stringMember(question, 'question') ?? '')
        .join(' ');
    case 'item/tool/call':
      return `the tool ${text('tool')} is to be run`;
    default:
      return method;
  }
}
