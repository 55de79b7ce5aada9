// What the Vercel AI SDK shows with its provider for Anthropic.

import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { anthropic } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const asked = (prompt, more = {}) => ({ model: anthropic("demo"), prompt, ...more });

await show({
  version: () => versionOf("@ai-sdk/anthropic"),

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

  agent_tool: async () => {
    const { content, text } = await generateText(asked("Add 19 and 23"));
    const { toolName, output } = content.find((part) => part.type === "tool-result");
    return [toolName, output[0].text, text];
  },

  second_turn: async () => {
    const model = anthropic("echo");
    const first = { role: "user", content: "When is high tide?" };
    const { response } = await generateText({ model, messages: [first] });
    const messages = [first, ...response.messages, { role: "user", content: "And low tide?" }];
    return (await generateText({ model, messages })).text;
  },

  reasoning: async () => (await generateText(asked("[[scenario:reasoning]]"))).reasoningText,

  error: async () => {
    let said = "";
    let message = "";
    const onError = ({ error }) => (message = error.message ?? JSON.stringify(error));
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
