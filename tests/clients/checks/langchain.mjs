// What LangChain for JavaScript shows.

import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { z } from "zod";
import { model } from "./recipe.mjs";
import { show, stopped, versionOf, weather as weatherOf } from "./showing.mjs";

await show({
  version: () => versionOf("@langchain/openai"),

  plain: async () => (await model.invoke("Hello")).text,

  streaming: async () => {
    const pieces = [];
    for await (const chunk of await model.stream("Hello")) pieces.push(chunk.text);
    return pieces;
  },

  tools: async () => {
    const schema = z.object({ city: z.string() });
    const weather = tool(weatherOf, { name: "weather", description: "The weather of a city", schema });
    const withTools = model.bindTools([weather]);
    const question = new HumanMessage("What is the weather in Paris?");
    const asked = await withTools.invoke([question]);
    const results = await Promise.all(asked.tool_calls.map((call) => weather.invoke(call)));
    return (await withTools.invoke([question, asked, ...results])).text;
  },

  reasoning: async () => (await model.invoke("[[scenario:reasoning]]")).additional_kwargs.reasoning_content,

  error: async () => {
    let said = "";
    try {
      for await (const chunk of await model.stream("[[scenario:fail]]")) said += chunk.text;
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await model.invoke("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    try {
      for await (const chunk of await model.stream("[[scenario:slow]]", { signal: abort.signal })) {
        said += chunk.text;
        if (said.includes("am")) abort.abort();
      }
    } catch {} // it was aborted
    return await stopped(said);
  },
});
