// What the Vercel AI SDK shows with the default model of its provider for OpenAI, which uses the Responses API.

import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { openai } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const asked = (prompt, more = {}) => ({ model: openai("default"), prompt, maxRetries: 0, ...more });

await show({
  version: () => versionOf("@ai-sdk/openai"),

  plain: async () => (await generateText(asked("Hello"))).text,

  streaming: async () => {
    const pieces = [];
    for await (const text of streamText(asked("Hello")).textStream) pieces.push(text);
    return pieces;
  },

  structured: async () => {
    const output = Output.object({ schema: z.object({ city: z.string() }) });
    return (await generateText(asked('{"city": "Paris"}', { model: openai("echo"), output }))).output.city;
  },

  tools: async () => {
    const tools = { weather: tool({ inputSchema: z.object({ city: z.string() }), execute: weather }) };
    const question = asked("What is the weather in Paris?", { tools, stopWhen: stepCountIs(3) });
    return (await generateText(question)).text;
  },

  agent_tool: async () => {
    const { content, text } = await generateText(asked("Add 19 and 23"));
    const { output } = content.find((part) => part.type === "tool-result");
    return [output.name, output.output, text];
  },

  approval: async () => {
    const server = { serverLabel: "default", serverUrl: "http://127.0.0.1", requireApproval: "always" };
    const settings = { model: openai("default"), tools: { mcp: openai.tools.mcp(server) }, maxRetries: 0 };
    const question = { role: "user", content: "[[scenario:confirm]]" };
    const { content, response } = await generateText({ ...settings, messages: [question] });
    const { approvalId, toolCall } = content.find((part) => part.type === "tool-approval-request");
    const reply = { type: "tool-approval-response", approvalId, approved: true, providerExecuted: true };
    const messages = [question, ...response.messages, { role: "tool", content: [reply] }];
    return [[toolCall.toolName], (await generateText({ ...settings, messages })).text];
  },

  second_turn: async () => {
    const model = openai("echo");
    const first = { role: "user", content: "When is high tide?" };
    const { response } = await generateText({ model, messages: [first], maxRetries: 0 });
    const messages = [first, ...response.messages, { role: "user", content: "And low tide?" }];
    return (await generateText({ model, messages, maxRetries: 0 })).text;
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
