#include "base/asset.h"

#include <string.h>

const qn_asset *qn_asset_find(const qn_asset *table, const char *name) {
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}
