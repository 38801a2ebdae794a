// tokenizer_class: see tokenizer_class.h.
#include "tokenizer_class.h"

#include "../formats/json.h"

#include <stdio.h>
#include <string.h>

// Classes of Transformers 5.24 that build a tokenizer of their own. With "Fast" behind it a name means the same. Any
// other name is unknown to it, and the general class is taken.
static const char *const k_other_classes[] = {
    "AlbertTokenizer", "BartTokenizer", "BarthezTokenizer", "BartphoTokenizer", "BertGenerationTokenizer",
    "BertJapaneseTokenizer", "BertTokenizer", "BertweetTokenizer", "BigBirdTokenizer", "BioGptTokenizer",
    "BlenderbotSmallTokenizer", "BlenderbotTokenizer", "BloomTokenizer", "ByT5Tokenizer", "CLIPTokenizer",
    "CTRLTokenizer", "CamembertTokenizer", "CanineTokenizer", "ClvpTokenizer", "CodeGenTokenizer", "CodeLlamaTokenizer",
    "CohereTokenizer", "ConvBertTokenizer", "CpmAntTokenizer", "CpmTokenizer", "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer", "DPRReaderTokenizer", "DebertaTokenizer", "DebertaV2Tokenizer", "DiaTokenizer",
    "DistilBertTokenizer", "EsmTokenizer", "EsmcTokenizer", "FNetTokenizer", "FSMTTokenizer",
    "FastSpeech2ConformerTokenizer", "FlaubertTokenizer", "FunnelTokenizer", "GPT2Tokenizer",
    "GPTNeoXJapaneseTokenizer", "GPTNeoXTokenizer", "GPTSw3Tokenizer", "GemmaTokenizer", "HerbertTokenizer",
    "LEDTokenizer", "LasrTokenizer", "LayoutLMv2Tokenizer", "LayoutLMv3Tokenizer", "LayoutXLMTokenizer",
    "LlamaTokenizer", "LukeTokenizer", "LxmertTokenizer", "M2M100Tokenizer", "MBart50Tokenizer", "MBartTokenizer",
    "MLukeTokenizer", "MPNetTokenizer", "MarianTokenizer", "MarkupLMTokenizer", "MgpstrTokenizer",
    "MistralCommonBackend", "MobileBertTokenizer", "MvpTokenizer", "MyT5Tokenizer", "NllbTokenizer", "NougatTokenizer",
    "OpenAIGPTTokenizer", "PLBartTokenizer", "ParakeetTokenizer", "PegasusTokenizer", "PerceiverTokenizer",
    "PhobertTokenizer", "Pop2PianoTokenizer", "ProphetNetTokenizer", "Qwen2Tokenizer",
    "RagTokenizer", "ReformerTokenizer", "RemBertTokenizer", "RoCBertTokenizer", "RoFormerTokenizer",
    "RobertaTokenizer", "SeamlessM4TTokenizer", "SentencePieceBackend", "Siglip2Tokenizer", "SiglipTokenizer",
    "Speech2TextTokenizer", "SpeechT5Tokenizer", "SplinterTokenizer", "SqueezeBertTokenizer", "T5Tokenizer",
    "TapasTokenizer", "Tipsv2Tokenizer", "UdopTokenizer", "VideoPrismTokenizer", "VitsTokenizer",
    "Wav2Vec2CTCTokenizer", "Wav2Vec2PhonemeCTCTokenizer", "WhisperTokenizer", "XGLMTokenizer", "XLMRobertaTokenizer",
    "XLMTokenizer", "XLNetTokenizer",
};

// `name`, with or without "Fast" behind it.
static bool class_is(const char *class, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(class, name, n) == 0 && (class[n] == 0 || strcmp(class + n, "Fast") == 0);
}

// ---- the class ------------------------------------------------------------------------------------------------------

static bool check_files(const cJSON *tc, const char *dir, err *e)
{
    const cJSON *files = json_get(tc, "fast_tokenizer_files");
    for (const cJSON *it = cJSON_IsArray(files) ? files->child : NULL; it; it = it->next) {
        const char *name = cJSON_GetStringValue(it);
        if (name && strcmp(name, "tokenizer.json") != 0)
            return err_set(e, ERR_INPUT, "%s/tokenizer_config.json: fast_tokenizer_files: found '%.80s', expected "
                           "tokenizer.json alone: another version of "
                           "Transformers would read another file", dir, name);
    }
    return true;
}

// The class whose name stands in tokenizer_config.json, else in config.json; NULL: in neither.
static bool read_name(const tokenizer_source *s, const char *where, const char **class, const char **file, err *e)
{
    *file = "tokenizer_config.json";
    if (!json_str_or(s->tokenizer_config, "tokenizer_class", NULL, class, where, e)) return false;
    if (*class) return true;
    *file = "config.json";
    *class = cJSON_GetStringValue(json_get(s->config, "tokenizer_class"));
    return true;
}

typedef struct { const char *name; tokenizer_build build; } known_class;

static const known_class k_gemma_classes[] = { { "GemmaTokenizer", BUILD_GEMMA } };
static const known_class k_dense_classes[] = { { "LlamaTokenizer", BUILD_LLAMA }, { "Qwen2Tokenizer", BUILD_QWEN2 },
                                               { "Qwen3_5Tokenizer", BUILD_QWEN35 }, { "GPT2Tokenizer", BUILD_GPT2 } };

// Without a name: what AutoTokenizer's table of models has. gemma3 it knows, gemma4 and llama it does not.
static tokenizer_build build_of_model(const tokenizer_source *s)
{
    if (s->kind == TOK_LLAMA) return BUILD_GEMMA;
    if (strncmp(s->model_type, "qwen3_5", 7) == 0) return BUILD_QWEN35;
    return strncmp(s->model_type, "qwen", 4) == 0 ? BUILD_QWEN2 : BUILD_FROM_FILE;
}

static bool find_class(tokenizer_build *b, const tokenizer_source *s, const char *class, const char *file, err *e)
{
    const bool         dense = s->kind == TOK_BY_FILE;
    const known_class *known = dense ? k_dense_classes : k_gemma_classes;
    const size_t       n = dense ? sizeof k_dense_classes / sizeof *known : sizeof k_gemma_classes / sizeof *known;
    *b = BUILD_FROM_FILE;
    for (size_t i = 0; i < n; i++)
        if (class_is(class, known[i].name)) {
            *b = known[i].build;
            return true;
        }
    for (size_t i = 0; i < sizeof k_other_classes / sizeof *k_other_classes; i++)
        if (class_is(class, k_other_classes[i]))
            return err_set(e, ERR_INPUT, "%s/%s: tokenizer_class: found '%.80s', expected %s or TokenizersBackend: "
                           "Transformers would cut a text by that class's own rules", s->dir, file, class,
                           dense ? "LlamaTokenizer, Qwen2Tokenizer, Qwen3_5Tokenizer, GPT2Tokenizer"
                                 : "GemmaTokenizer");
    return true;
}

// Published folders of Qwen 3.5 name Qwen2Tokenizer, which cuts words otherwise: AutoTokenizer takes the model's own
// class whatever they name (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS), but for the dense model without towers.
static bool class_is_overruled(const tokenizer_source *s)
{
    return strncmp(s->model_type, "qwen3_5", 7) == 0 && strcmp(s->model_type, "qwen3_5_text") != 0;
}

bool tokenizer_class_read(tokenizer_build *b, const tokenizer_source *s, err *e)
{
    const cJSON *tc = s->tokenizer_config;
    char  where[1100];
    bool  split;
    const char *file, *class, *code;
    snprintf(where, sizeof where, "%s/tokenizer_config.json", s->dir);
    *b = build_of_model(s);
    if (!json_bool_or(tc, "split_special_tokens", false, &split, where, e)) return false;
    if (split) return err_set(e, ERR_INPUT, "%s: split_special_tokens: found true, expected false: GGUF cannot say so, "
                              "and ids would change", where);
    if (!check_files(tc, s->dir, e) || !read_name(s, where, &class, &file, e)) return false;
    if (!class) return true;
    code = cJSON_GetStringValue(cJSON_GetArrayItem(json_get(json_get(tc, "auto_map"), "AutoTokenizer"), 1));
    if (strcmp(s->model_type, "mistral") == 0 && !code) {
        *b = BUILD_FROM_FILE;       // AutoTokenizer takes the general class, whatever the name
        return true;
    }
    if (class_is_overruled(s) && !code) return true;
    if (!find_class(b, s, class, file, e)) return false;
    // A class whose Metaspace would not fit: AutoTokenizer looks for the word.
    if (*b == BUILD_LLAMA && strstr(s->text, "\"ByteLevel\"")) *b = BUILD_FROM_FILE;
    if (code && *b == BUILD_FROM_FILE && !class_is(class, "PreTrainedTokenizer")
        && strcmp(class, "TokenizersBackend") != 0)
        return err_set(e, ERR_INPUT, "%s: auto_map: found the folder's own code '%.80s' for the tokenizer, expected a "
                       "class of Transformers", where, code);
    return true;
}
