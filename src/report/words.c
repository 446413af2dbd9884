#include "report/words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MINUS "\xe2\x88\x92"
#define EN_DASH "\xe2\x80\x93"

/* Copies the digits of `plain` (no sign) with commas between thousands. */
static void separate_thousands(const char *plain, char *to, size_t to_bytes) {
    const size_t n_whole = strspn(plain, "0123456789");
    size_t at = 0;
    for (size_t i = 0; plain[i] && at + 2 < to_bytes; i++) {
        if (i > 0 && i < n_whole && (n_whole - i) % 3 == 0)
            to[at++] = ',';
        to[at++] = i == n_whole ? '.' : plain[i]; /* whatever the locale put there */
    }
    to[at] = '\0';
}

qn__word qn__fixed(double x, int decimals) {
    qn__word word = {EN_DASH};
    if (!isfinite(x))
        return word;
    if (fabs(x) >= 1e15) {
        snprintf(word.text, sizeof word.text, "%.3g", x);
        return word;
    }
    char plain[32], digits[44];
    snprintf(plain, sizeof plain, "%.*f", decimals, fabs(x));
    separate_thousands(plain, digits, sizeof digits);
    const bool is_zero = !strpbrk(plain, "123456789");
    snprintf(word.text, sizeof word.text, "%s%.32s", x < 0 && !is_zero ? MINUS : "", digits);
    return word;
}

qn__word qn__count(double n) {
    return qn__fixed(n, 0);
}

static void drop_trailing_zeros(char *text) {
    if (!strchr(text, '.'))
        return;
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    text[n] = '\0';
}

qn__word qn__number(double x) {
    const double size = fabs(x);
    if (isfinite(x) && size > 0 && size < 1e-4) {
        qn__word word;
        snprintf(word.text, sizeof word.text, "%.3g", x);
        return word;
    }
    int decimals = 0;
    if (size < 1e4 && size > 0)
        decimals = (int)fmax(0, 3 - floor(log10(size)));
    qn__word word = qn__fixed(x, decimals > 6 ? 6 : decimals);
    drop_trailing_zeros(word.text);
    return word;
}

qn__word qn__percent(double share) {
    const double percent = share * 100, size = fabs(percent);
    if (size > 0 && size < 0.01)
        return (qn__word){"<0.01%"};
    qn__word word = qn__fixed(percent, size >= 99.95 && size < 100 ? 2 : size >= 1 ? 1 : 2);
    if (!isfinite(share))
        return word;
    if (fabs(percent - round(percent)) < 1e-9) /* "10%", but "4.0%" where it was rounded */
        drop_trailing_zeros(word.text);
    const size_t n = strlen(word.text);
    snprintf(word.text + n, sizeof word.text - n, "%%");
    return word;
}

static qn__word money_with_sign(const char *currency, double x, const char *sign) {
    const double size = fabs(x);
    const qn__word amount = qn__fixed(size, size >= 1000 ? 0 : size >= 0.1 || size == 0 ? 2 : 4);
    if (currency && strlen(currency) > 8)
        currency =
            NULL; /* too long to stand before every number, and cutting may split a character */
    qn__word word;
    snprintf(word.text, sizeof word.text, "%.4s%.8s%.3s%.24s", isfinite(x) ? sign : "",
             currency ? currency : "", currency ? "\xc2\xa0" : "", amount.text);
    return word;
}

/* Sums that cancel leave a dust that is neither a gain nor a loss. */
static double without_dust(double x) {
    return fabs(x) < 5e-5 ? 0 : x;
}

qn__word qn__money(const char *currency, double x) {
    x = without_dust(x);
    return money_with_sign(currency, x, x < 0 ? MINUS : "");
}

qn__word qn__signed_money(const char *currency, double x) {
    x = without_dust(x);
    return money_with_sign(currency, x, x < 0 ? MINUS : "+");
}

qn__word qn__duration(double seconds) {
    qn__word word = {EN_DASH};
    if (!isfinite(seconds) || seconds < 0)
        return word;
    if (seconds < 0.0995)
        snprintf(word.text, sizeof word.text, "%.32s ms",
                 qn__fixed(seconds * 1e3, seconds < 0.00995).text);
    else if (seconds < 99.5)
        snprintf(word.text, sizeof word.text, "%.32s s",
                 qn__fixed(seconds, seconds < 9.95 ? 2 : 1).text);
    else if (seconds < 5400)
        snprintf(word.text, sizeof word.text, "%d min %d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(word.text, sizeof word.text, "%.32s h", qn__fixed(seconds / 3600, 1).text);
    return word;
}

qn__word qn__size(double bytes) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    qn__word word = {EN_DASH};
    if (!isfinite(bytes) || bytes < 0)
        return word;
    size_t i_unit = 0;
    for (; bytes >= 999.5 && i_unit + 1 < sizeof units / sizeof *units; i_unit++)
        bytes /= 1000;
    snprintf(word.text, sizeof word.text, "%.32s %s",
             qn__fixed(bytes, i_unit > 0 && bytes < 9.95 ? 1 : 0).text, units[i_unit]);
    return word;
}

int qn__decimals(double value, double low, double high) {
    const double size = fabs(value);
    double step = isfinite(high - low) && high > low ? (high - low) / 8 : size / 1000;
    if (!isfinite(step) || step <= 0)
        return 3;
    double decimals = ceil(-log10(step));
    if (size < 10 && decimals < 3)
        decimals = size < 1.5 ? 3 : 2;
    return (int)fmax(0, fmin(decimals, 5));
}

static const qn__metric_words all_metrics[] = {
    {"roc_auc", "ROC AUC",
     "The chance that a random positive row gets a higher score than a random negative one. 0.5 is "
     "a coin, 1 is perfect.",
     true, 1, 0.5},
    {"roc_auc_ovr", "ROC AUC, one class against the rest",
     "ROC AUC of each class against all others, averaged. 0.5 is a coin, 1 is perfect.", true, 1,
     0.5},
    {"pr_auc", "Average precision (PR AUC)",
     "How pure the top of the ranking is, averaged over all cut-offs. A coin gets the share of "
     "positives; 1 is perfect.",
     true, 1, 0},
    {"log_loss", "Log loss",
     "How surprised the model is by what really happened, on average. 0 is perfect; confident "
     "mistakes cost most.",
     false, 0, NAN},
    {"normalized_entropy", "Normalised entropy",
     "Log loss divided by that of always predicting the average. Below 1 the model knows "
     "something; 0 is perfect.",
     false, 0, 1},
    {"brier", "Brier score",
     "Mean squared distance between the probability given and what happened. 0 is perfect.", false,
     0, 0.25},
    {"accuracy", "Accuracy", "The share of rows whose predicted label is right.", true, 1, 0},
    {"balanced_accuracy", "Balanced accuracy",
     "The share of each class that is found, averaged over the classes, so that rare classes count "
     "as much as common ones.",
     true, 1, 0},
    {"f1", "F1",
     "One number for precision and recall together (their harmonic mean). 1 is perfect.", true, 1,
     0},
    {"f1_macro", "F1, averaged over classes",
     "F1 of each class, averaged; every class counts the same.", true, 1, 0},
    {"precision", "Precision", "Of the rows the model flags, the share that really is positive.",
     true, 1, 0},
    {"recall", "Recall", "Of the rows that really are positive, the share the model flags.", true,
     1, 0},
    {"mcc", "Matthews correlation",
     "Correlation between predicted and real labels; fair on rare classes. 0 is a coin, 1 is "
     "perfect.",
     true, 1, 0},
    {"ece", "Calibration error (ECE)",
     "How far the probabilities are from the observed shares, on average: 0.01 means 70% is really "
     "69 to 71%.",
     false, 0, NAN},
    {"rmse", "Root mean squared error",
     "Typical size of an error, in units of the target; large errors count more.", false, 0, NAN},
    {"mae", "Mean absolute error", "Average size of an error, in units of the target.", false, 0,
     NAN},
    {"median_ae", "Median absolute error",
     "Half of the errors are smaller than this, in units of the target.", false, 0, NAN},
    {"r2", "R squared",
     "The share of the target's variation that the model explains. 0 is the plain average, 1 is "
     "perfect.",
     true, 1, 0},
    {"mape", "Mean absolute percentage error", "Average error as a share of the real value.", false,
     0, NAN},
    {"value", "Value per row",
     "What decisions by this model earn or save per row, by your value table.", true, NAN, NAN},
};

qn__metric_words qn__metric_of(const char *name) {
    for (size_t i = 0; i < sizeof all_metrics / sizeof *all_metrics; i++)
        if (name && !strcmp(all_metrics[i].name, name))
            return all_metrics[i];
    return (qn__metric_words){name, name, "", true, NAN, NAN};
}

qn__word qn__metric_phrase(const char *name) {
    const char *title = qn__metric_of(name).title;
    qn__word word = {""};
    if (!title)
        return word;
    size_t n = strlen(title);
    if (n >= sizeof word.text)
        n = sizeof word.text - 1;
    while (n > 0 && ((unsigned char)title[n] & 0xc0) == 0x80)
        n--; /* not inside a character */
    memcpy(word.text, title, n);
    const bool is_word = title[0] >= 'A' && title[0] <= 'Z' && title[1] >= 'a' && title[1] <= 'z';
    if (is_word && strncmp(title, "Matthews", 8) != 0)
        word.text[0] = (char)(title[0] + ('a' - 'A'));
    return word;
}
