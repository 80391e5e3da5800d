/** The tools of a request to OpenAI's chat interface. */
import { z } from 'zod';
import type { Tool } from '../../types.js';
import { serveLimits } from '../limits.js';

/** A tool as clients declare it. */
export interface GivenTool {
  type: 'function';
  function: {
    name: string;
    description?: string | null | undefined;
    parameters?: Record<string, unknown> | null | undefined;
    strict?: boolean | null | undefined;
  };
}

/** The schema of a function that the model may call. */
export const functionFields: z.ZodType<GivenTool['function']> = z.object({
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});

/** The schema of the list of tools. */
export const toolFields: z.ZodType<GivenTool[]> = z
  .array(z.object({ type: z.literal('function'), function: functionFields }))
  .max(serveLimits.tools);

/** The library's tools. Undefined if there are none. */
export function readTools(tools: readonly GivenTool[] | undefined): Tool[] | undefined {
  if (tools === undefined || tools.length === 0) return undefined;
  return tools.map(({ function: { name, description, parameters, strict } }) => ({
    type: 'function',
    function: {
      name,
      ...(typeof description === 'string' && { description }),
      ...(parameters && { parameters }),
      ...(strict && { strict }),
    },
  }));
}
