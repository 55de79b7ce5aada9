// What the Vercel AI SDK shows.

import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { agent } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const asked = (prompt, more = {}) => ({ model: agent("demo"), prompt, maxRetries: 0, ...more });

await show({
  version: () => versionOf("ai"),

  plain: async () => (await generateText(asked("Hello"))).text,

  streaming: async () => {
    const pieces = [];
    for await (const text of streamText(asked("Hello")).textStream) pieces.push(text);
    return pieces;
  },

  tools: async () => {
    const tools = { weather: tool({ inputSchema: z.object({ city: z.string() }), execute: weather }) };
    const question = asked("What is the weather in Paris?", { tools, stopWhen: stepCountIs(3) });
    return (await generateText(question)).text;
  },

  reasoning: async () => (await generateText(asked("[[scenario:reasoning]]"))).reasoningText,

  error: async () => {
    let said = "";
    let message = "";
    const onError = ({ error }) => (message = error.message);
    for await (const text of streamText(asked("[[scenario:fail]]", { onError })).textStream) said += text;
    return [said, message];
  },

  refusal: async () => {
    try {
      await generateText(asked("[[scenario:fail_start]]"));
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    const { textStream } = streamText(asked("[[scenario:slow]]", { abortSignal: abort.signal }));
    for await (const text of textStream) {
      said += text;
      if (said.includes("am")) abort.abort();
    }
    return await stopped(said);
  },
});
