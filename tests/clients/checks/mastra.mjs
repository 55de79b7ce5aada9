// What Mastra shows.

import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import { z } from "zod";
import { agent, model } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

await show({
  version: () => versionOf("@mastra/core"),

  plain: async () => (await agent.generate("Hello")).text,

  streaming: async () => {
    const pieces = [];
    for await (const text of (await agent.stream("Hello")).textStream) pieces.push(text);
    return pieces;
  },

  tools: async () => {
    const tool = createTool({
      id: "weather",
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async (asked) => weather(asked.context ?? asked),
    });
    const asked = new Agent({ id: "w", name: "w", instructions: "Be brief.", model, tools: { weather: tool } });
    return (await asked.generate("What is the weather in Paris?")).text;
  },

  reasoning: async () => (await agent.generate("[[scenario:reasoning]]")).reasoningText,

  error: async () => {
    let said = "";
    let message = "";
    try {
      const answer = await agent.stream("[[scenario:fail]]", { onError: ({ error }) => (message = String(error)) });
      for await (const text of answer.textStream) said += text;
    } catch (failed) {
      message = failed.message;
    }
    return [said, message];
  },

  refusal: async () => {
    try {
      await agent.generate("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    const answer = await agent.stream("[[scenario:slow]]", { abortSignal: abort.signal });
    for await (const text of answer.textStream) {
      said += text;
      if (said.includes("am")) abort.abort();
    }
    return await stopped(said);
  },
});
