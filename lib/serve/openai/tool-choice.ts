/** Which tools an answer calls, in the forms of OpenAI's interfaces. */
import type { GenerateOptions, Tool } from '../../types.js';
import { badRequest, unsupported } from '../errors.js';

type Choice = Pick<GenerateOptions, 'tools' | 'toolChoice' | 'parallelToolCalls'>;

/**
 * The library's options for `tool_choice` and `parallel_tool_calls`. Besides the words there are a function's name,
 * inside `function` or beside `type`, and a list of allowed tools.
 *
 * @throws ApiError 400 naming the field
 */
export function readToolChoice(choice: unknown, tools: Tool[] | undefined, isParallel: boolean | undefined): Choice {
  const parallel = isParallel === false && tools !== undefined ? { parallelToolCalls: false } : {};
  if (choice === undefined) return { ...(tools && { tools }), ...parallel };
  if (choice === 'auto' || choice === 'none' || choice === 'required') {
    if (tools === undefined && choice === 'required')
      throw badRequest('tools', 'wanted a tool for tool_choice: required');
    return { ...(tools && { tools, toolChoice: choice }), ...parallel };
  }
  if (typeof choice !== 'object' || choice === null) throw badRequest('tool_choice', 'wanted a word or an object');
  const { type, name, function: called, allowed_tools: allowed } = choice as Record<string, unknown>;
  if (type === 'allowed_tools')
    return readToolChoice(modeOf(allowed ?? choice), allowedTools(allowed ?? choice, tools), isParallel);
  if (type !== 'function')
    throw unsupported('tool_choice.type', `wanted function or allowed_tools, found ${JSON.stringify(type)}`);
  const wanted = (called as { name?: unknown } | null | undefined)?.name ?? name;
  if (typeof wanted !== 'string' || !tools?.some((tool) => tool.function.name === wanted))
    throw badRequest('tool_choice.function.name', `wanted the name of one of tools, found ${JSON.stringify(wanted)}`);
  return { tools: tools!, toolChoice: { type: 'function', function: { name: wanted } } };
}

function modeOf(allowed: unknown): unknown {
  const { mode = 'auto' } = allowed as { mode?: unknown };
  if (mode === 'auto' || mode === 'required') return mode;
  throw badRequest('tool_choice.allowed_tools.mode', `wanted auto or required, found ${JSON.stringify(mode)}`);
}

/** The tools that a list allows. */
function allowedTools(allowed: unknown, tools: Tool[] = []): Tool[] {
  const { tools: list } = allowed as { tools?: unknown };
  const field = 'tool_choice.allowed_tools.tools';
  if (!Array.isArray(list) || list.length === 0) throw badRequest(field, 'wanted an array of tools');
  return list.map((entry: { name?: unknown; function?: { name?: unknown } } | null, i) => {
    const name = entry?.function?.name ?? entry?.name;
    const found = tools.find((tool) => tool.function.name === name);
    if (found === undefined) throw badRequest(`${field}[${i}]`, `wanted one of tools, found ${JSON.stringify(name)}`);
    return found;
  });
}
