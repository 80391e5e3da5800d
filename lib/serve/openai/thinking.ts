/** The fields by which clients turn thinking on and off. */
import { z } from 'zod';
import { badRequest } from '../errors.js';

/** The fields as clients send them. */
export interface ThinkingRequest {
  chat_template_kwargs: Record<string, unknown> | undefined;
  reasoning_effort: string | undefined;
}

/** Their schemas, for the schema of a body. */
export const thinkingFields: { [Name in keyof ThinkingRequest]: z.ZodType<ThinkingRequest[Name]> } = {
  chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
};

/** Whether the model may think. Undefined leaves it to the template. */
export function readThinking({
  chat_template_kwargs: kwargs,
  reasoning_effort: effort,
}: ThinkingRequest): boolean | undefined {
  const asked = kwargs?.enable_thinking ?? kwargs?.thinking;
  if (asked !== undefined && typeof asked !== 'boolean')
    throw badRequest('chat_template_kwargs.enable_thinking', 'wanted true or false');
  if (asked !== undefined) return asked;
  return effort === undefined ? undefined : effort !== 'none' && effort !== 'minimal';
}
