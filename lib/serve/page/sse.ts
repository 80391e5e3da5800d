/** Reads server-sent events. `EventSource` of browsers cannot: it sends neither a body nor a key. */

/**
 * The data of each event of the stream, as it comes. Comments and other fields are skipped, and so is an event that
 * the stream's end cuts off.
 *
 * @example
 * for await (const data of readEvents(response.body)) if (data !== '[DONE]') console.log(JSON.parse(data));
 */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      // A carriage return at the end may be the first half of a line's end.
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
        else if (line === '' && data.length > 0) {
          yield data.join('\n');
          data = [];
        }
      }
    }
  } finally {
    // A reader that leaves early tells the server so.
    await reader.cancel().catch(() => undefined);
  }
}
